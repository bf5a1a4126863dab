{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "double" -}}
{{ . }}{{ . }}
{{- end -}}
{{- define "root" }}root={{ $.a }} {{ .a }}{{ end -}}
{{- define "countdown" }}{{ . }}{{ if gt . 0 }},{{ include "countdown" (sub . 1 | int) }}{{ end }}{{ end }}
{{- define "again" }}second{{ end }}
{{- define "again" }}   {{ end }}
