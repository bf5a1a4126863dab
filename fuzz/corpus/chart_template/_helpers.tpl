{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- define "tulle.version" -}}
{{ .Values.linkerdVersion | default .Chart.AppVersion }}
{{- end }}

{{- define "tulle.trust-domain" -}}
{{ .Values.identityTrustDomain | default .Values.clusterDomain }}
{{- end }}

{{- /* The mesh makes its own anchors and issuer: nobody brought any. */ -}}
{{- define "tulle.owns-identity" -}}
{{- if and (eq .Values.identityTrustAnchorsPEM "") (eq .Values.identity.issuer.tls.crtPEM "") (eq .Values.identity.issuer.scheme "linkerd.io/tls") (not .Values.identity.externalCA) -}}
true
{{- end -}}
{{- end }}

{{- define "tulle.annotations" }}
  annotations:
    linkerd.io/created-by: linkerd/helm {{ .Chart.AppVersion }}
{{- end }}

{{- define "tulle.labels" }}
  labels:
    linkerd.io/control-plane-component: control-plane
    linkerd.io/control-plane-ns: {{ .Release.Namespace }}
    {{- with .Values.commonLabels }}
    {{- toYaml . | trim | nindent 4 }}
    {{- end }}
{{- end }}

{{- /* What a pod's webhook looks at, beyond what concerns its own purpose; see docs/decisions for the three. */ -}}
{{- define "tulle.pod-conditions" }}
  - name: not-host-network
    expression: request.resource.resource != "pods" || !has(object.spec.hostNetwork) || !object.spec.hostNetwork
  - name: not-meshed-already
    expression: >-
      request.resource.resource != "pods" || (!object.spec.containers.exists(c, c.name == "linkerd-proxy") &&
      (!has(object.spec.initContainers) || !object.spec.initContainers.exists(c, c.name == "linkerd-proxy")))
  - name: not-disabled
    expression: >-
      !has(object.metadata.annotations) || !("linkerd.io/inject" in object.metadata.annotations) ||
      object.metadata.annotations["linkerd.io/inject"] != "disabled"
{{- end }}

{{- define "tulle.object-selector" }}
  objectSelector:
    matchExpressions:
    - {key: linkerd.io/control-plane-component, operator: DoesNotExist}
    - {key: linkerd.io/cni-resource, operator: DoesNotExist}
    {{- with .Values.proxyInjector.objectSelector }}
    {{- with .matchExpressions }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .matchLabels }}
    matchLabels:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
{{- end }}

{{- define "tulle.namespace-selector" }}
    {{- with .Values.proxyInjector.namespaceSelector }}
    {{- with .matchExpressions }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .matchLabels }}
    matchLabels:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- end }}
{{- end }}

{{- /* Where a webhook is served, and whom the API server believes. (root, values of the webhook, service) */ -}}
{{- define "tulle.webhook-client" }}
  {{- $root := index . 0 }}
  {{- $of := index . 1 }}
  clientConfig:
    service: {name: {{ index . 2 }}, namespace: {{ $root.Release.Namespace }}, path: "/", port: 443}
    {{- if $of.caBundle }}
    caBundle: {{ b64enc (trim $of.caBundle) }}
    {{- else if and $of.crtPEM (not $of.externalSecret) }}
    caBundle: {{ b64enc (trim $of.crtPEM) }}
    {{- end }}
  admissionReviewVersions: [v1, v1beta1]
  sideEffects: None
{{- end }}

{{- /* Exactly one source of trust for a certificate that comes from outside. (name, values of the webhook) */ -}}
{{- define "tulle.check-webhook" }}
  {{- $name := index . 0 }}
  {{- $of := index . 1 }}
  {{- if and $of.injectCaFrom $of.injectCaFromSecret }}
  {{- fail (printf "%s: set one of injectCaFrom and injectCaFromSecret, not both" $name) }}
  {{- end }}
  {{- if and (or $of.injectCaFrom $of.injectCaFromSecret) $of.caBundle }}
  {{- fail (printf "%s: caBundle and injectCaFrom… are two sources of trust: set one" $name) }}
  {{- end }}
  {{- if and $of.externalSecret (not (or $of.caBundle (or $of.injectCaFrom $of.injectCaFromSecret))) }}
  {{- fail (printf "%s: externalSecret needs one of caBundle, injectCaFrom and injectCaFromSecret" $name) }}
  {{- end }}
  {{- if and (or $of.injectCaFrom $of.injectCaFromSecret) (not $of.externalSecret) }}
  {{- fail (printf "%s: injectCaFrom… needs externalSecret: true" $name) }}
  {{- end }}
{{- end }}

{{- define "tulle.webhook-annotations" }}
  {{- $of := index . 1 }}
  {{- if $of.injectCaFrom }}
    cert-manager.io/inject-ca-from: {{ $of.injectCaFrom }}
  {{- end }}
  {{- if $of.injectCaFromSecret }}
    cert-manager.io/inject-ca-from-secret: {{ $of.injectCaFromSecret }}
  {{- end }}
{{- end }}

{{- define "tulle.resources" }}
        {{- $cpu := .cpu | default dict }}
        {{- $memory := .memory | default dict }}
        {{- if or $cpu.request $memory.request }}
          requests:
            {{- with $cpu.request }}
            cpu: {{ . | quote }}
            {{- end }}
            {{- with $memory.request }}
            memory: {{ . | quote }}
            {{- end }}
        {{- end }}
        {{- if or $cpu.limit $memory.limit }}
          limits:
            {{- with $cpu.limit }}
            cpu: {{ . | quote }}
            {{- end }}
            {{- with $memory.limit }}
            memory: {{ . | quote }}
            {{- end }}
        {{- end }}
{{- end }}
