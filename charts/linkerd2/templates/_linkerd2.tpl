{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- /* Puts one tree of values over another, in place. (below, above) */ -}}
{{- define "linkerd2.overlay" -}}
{{- $below := index . 0 }}
{{- range $key, $value := index . 1 }}
{{- if and (kindIs "map" $value) (kindIs "map" (index $below $key)) }}
{{- template "linkerd2.overlay" (list (index $below $key) $value) }}
{{- else }}
{{- $_ := set $below $key $value }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the templates of linkerd-control-plane find as their root, as JSON: values under the names of today. CrdsValues are those
that linkerd-crds finds. */ -}}
{{- define "linkerd2.root" -}}
{{- $values := .Files.Get "parts/linkerd-control-plane/values.yaml" | fromYaml }}
{{- $crds := .Files.Get "parts/linkerd-crds/values.yaml" | fromYaml }}
{{- $given := deepCopy .Values }}
{{- $global := default dict $given.global }}
{{- $_ := unset $given "global" }}
{{- template "linkerd2.overlay" (list $values $given) }}
{{- template "linkerd2.overlay" (list $values $global) }}
{{- range $key, $_ := $crds }}
{{- if hasKey $values $key }}
{{- $_ := set $crds $key (index $values $key) }}
{{- $_ := unset $values $key }}
{{- end }}
{{- end }}
{{- $namespace := $values.namespace | default .Release.Namespace }}
{{- with $values.policyController.defaultAllowPolicy }}
{{- $_ := set $values.proxy "defaultInboundPolicy" . }}
{{- end }}
{{- range $gone := list (list $values "namespace" "installNamespace" "controlPlaneTracing" "controlPlaneTracingNamespace" "omitWebhookSideEffects" "publicAPIResources" "publicAPIProxyResources" "spValidatorProxyResources" "stage") (list $values.policyController "defaultAllowPolicy" "image") (list $values.proxyInit "image" "resources") (list $values.identity.issuer "crtExpiry" "crtExpiryAnnotation") }}
{{- range $key := rest $gone }}
{{- $_ := unset (first $gone) $key }}
{{- end }}
{{- end }}
{{- $release := dict "Name" .Release.Name "Namespace" $namespace "Service" .Release.Service }}
{{- toJson (dict "Values" $values "CrdsValues" $crds "Release" $release "Chart" (dict "Name" .Chart.Name "Version" .Chart.Version "AppVersion" .Chart.AppVersion) "Template" (dict "BasePath" .Template.BasePath "Name" .Template.Name)) }}
{{- end }}
