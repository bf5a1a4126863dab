{{- /* What every definition carries. The argument is the root. */ -}}
{{- define "crds.meta" }}
  annotations:
    linkerd.io/created-by: linkerd/helm {{ .Chart.AppVersion }}
  labels:
    helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
    linkerd.io/control-plane-ns: {{ .Release.Namespace }}
{{- end }}
