{{- /* What every definition carries; more annotations may follow. The argument is the root. */ -}}
{{- define "crds.meta" }}
  labels:
    helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
    linkerd.io/control-plane-ns: {{ .Release.Namespace }}
  annotations:
    linkerd.io/created-by: linkerd/helm {{ .Chart.AppVersion }}
{{- end }}
