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

{{- /* Members of the maps in a list, the last one of each name; as YAML. */ -}}
{{- define "tulle.joined" -}}
{{- $all := dict }}
{{- range . }}
{{- range $key, $value := . }}
{{- $_ := set $all $key $value }}
{{- end }}
{{- end }}
{{- toYaml $all }}
{{- end }}

{{- /* The roles are one pod, so what is said of each holds for it; nothing replaces what the pod is known by. */ -}}
{{- define "tulle.pod-annotations" -}}
{{- $own := dict "linkerd.io/created-by" (printf "linkerd/helm %s" .Chart.AppVersion) "checksum/config" (include "tulle.checksum" .) }}
{{- $defaults := dict "cluster-autoscaler.kubernetes.io/safe-to-evict" "true" "config.linkerd.io/default-inbound-policy" "all-unauthenticated" }}
{{- $values := .Values }}
{{- include "tulle.joined" (list $defaults $values.podAnnotations $values.identity.podAnnotations $values.destinationController.podAnnotations $values.proxyInjector.podAnnotations $own) }}
{{- end }}

{{- define "tulle.pod-labels" -}}
{{- $ns := .Release.Namespace }}
{{- $own := dict "linkerd.io/control-plane-component" "control-plane" "linkerd.io/control-plane-ns" $ns "linkerd.io/workload-ns" $ns }}
{{- include "tulle.joined" (list .Values.commonLabels .Values.podLabels $own) }}
{{- end }}

{{- define "tulle.additional-env" -}}
{{- $all := dict }}
{{- range $of := list .Values.identity .Values.destinationController .Values.proxyInjector }}
{{- range $list := list $of.additionalEnv $of.experimentalEnv }}
{{- range $variable := $list }}
{{- $_ := set $all $variable.name $variable }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $variable := $all }}
{{ toYaml (list $variable) }}
{{- end }}
{{- end }}

{{- /* The longest of the roles. (values, probe) */ -}}
{{- define "tulle.probe-timeout" -}}
{{- $values := index . 0 }}
{{- $longest := 1 }}
{{- range list $values.identity $values.destinationController $values.policyController $values.proxyInjector $values.spValidator }}
{{- $probe := default dict (index . (index $ 1)) }}
{{- $longest = max $longest (int $probe.timeoutSeconds) }}
{{- end }}
{{- $longest }}
{{- end }}

{{- /* Of the control plane's container: each quantity from the first that says it. */ -}}
{{- define "tulle.resources" -}}
{{- $out := dict }}
{{- range $kind := list "request" "limit" }}
{{- $of := dict }}
{{- range $what := list "cpu" "memory" "ephemeral-storage" }}
{{- range $from := list $.controllerResources $.destinationResources $.policyController.resources $.identityResources $.proxyInjectorResources $.spValidatorResources }}
{{- $quantity := index (default dict (index (default dict $from) $what)) $kind }}
{{- if and $quantity (not (hasKey $of $what)) }}
{{- $_ := set $of $what (toString $quantity) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $kind "request") (not (hasKey $of "memory")) }}
{{- $_ := set $of "memory" "16Mi" }}
{{- end }}
{{- if $of }}
{{- $_ := set $out (printf "%ss" $kind) $of }}
{{- end }}
{{- end }}
{{- toYaml $out }}
{{- end }}

{{- /* A change of the values that the program reads from the ConfigMap at its start. */ -}}
{{- define "tulle.checksum" -}}
{{ printf "%s %s" (toYaml .Values.identity.issuer.scheme) .Values.identityTrustAnchorsPEM | sha256sum }}
{{- end }}

{{- /* A warning for each value that nobody documents. (prefix, values, known paths) */ -}}
{{- define "tulle.unknown" }}
{{- $prefix := index . 0 }}
{{- $known := index . 2 }}
{{- range $key, $value := index . 1 }}
{{- $path := printf "%s%s" $prefix $key }}
{{- if eq $path "global" }}
{{- range $old, $_ := default dict $value }}
WARNING: the value global.{{ $old }} has no effect{{ if has $old $known }}: it is {{ $old }} now{{ end }}.
{{- end }}
{{- else if not (has $path $known) }}
WARNING: the value {{ $path }} is not known and has no effect.
{{- else if and (kindIs "map" $value) (not (has (printf "%s.*" $path) $known)) }}
{{- include "tulle.unknown" (list (printf "%s." $path) $value $known) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A warning for each value that is set although nothing can come of it: path, default, why. */ -}}
{{- define "tulle.without-effect" }}
{{- $values := index . 0 }}
{{- range index . 1 }}
{{- $value := $values }}
{{- range $step := splitList "." (index . 0) }}
{{- $value = index (default dict $value) $step }}
{{- end }}
{{- if and (not (kindIs "invalid" $value)) (ne (toJson $value) (index . 1)) }}
WARNING: the value {{ index . 0 }} has no effect: {{ index . 2 }}.
{{- end }}
{{- end }}
{{- end }}

{{- define "tulle.warnings" }}
{{- $no_go := "the programs are not written in Go" }}
{{- $nobody := "tulle reports to nobody" }}
{{- $no_proxy := "the pod of the control plane has no proxy" }}
{{- $no_flags := "its flags are those of tulle-control, which the other values set" }}
{{- $one_line := "the program says one line, in plain text" }}
{{- $polite := "the control plane watches, and asks for little" }}
{{- $no_traces := "nothing sends traces in this version" }}
{{- template "tulle.without-effect" (list .Values (list
  (list "disableHeartBeat" "true" $nobody)
  (list "heartbeatSchedule" "\"\"" $nobody)
  (list "heartbeatResources" "null" $nobody)
  (list "prometheusUrl" "\"\"" $nobody)
  (list "enablePprof" "false" $no_go)
  (list "enableEndpointSlices" "true" "endpoints come from EndpointSlices always")
  (list "controller.tracing.enabled" "false" $no_traces)
  (list "controller.tracing.collector.endpoint" "\"\"" $no_traces)
  (list "proxy.tracing.enabled" "false" $no_traces)
  (list "identity.kubeAPI.clientQPS" "100" $polite)
  (list "identity.kubeAPI.clientBurst" "200" $polite)
  (list "kubeAPI.clientQPS" "100" $polite)
  (list "kubeAPI.clientBurst" "200" $polite)
  (list "policyController.logLevel" "\"info\"" "controllerLogLevel is for every role")
  (list "policyController.additionalArgs" "[]" $no_flags)
  (list "policyController.experimentalArgs" "[]" $no_flags)
  (list "destinationController.additionalArgs" "[]" $no_flags)
  (list "destinationController.experimentalArgs" "[]" $no_flags)
  (list "identityProxyResources" "null" $no_proxy)
  (list "destinationProxyResources" "null" $no_proxy)
  (list "proxyInjectorProxyResources" "null" $no_proxy)
  (list "proxyInit.kubeAPIServerPorts" "\"443,6443\"" $no_proxy)
  (list "proxyInit.iptablesMode" "\"nft\"" "rules are set over netlink where the kernel can, in either mode")
  (list "proxyInit.logLevel" "\"\"" $one_line)
  (list "proxyInit.logFormat" "\"\"" $one_line)
  (list "networkValidator.logLevel" "\"debug\"" $one_line)
  (list "networkValidator.logFormat" "\"plain\"" $one_line)
  (list "proxy.enableExternalProfiles" "false" "proxies ask for no service profiles in this version")
  (list "proxyInit.xtMountPath.mountPath" "\"/run\"" "rules are set without the lock of another program")
  (list "proxyInit.xtMountPath.name" "\"linkerd-proxy-init-xtables-lock\"" "rules are set without the lock of another program")
)) }}
{{- end }}

{{- /* One of the names that a proxy finds the control plane under. (root, name, port's name, port, target, headless) */ -}}
{{- define "tulle.service" }}
{{- $root := index . 0 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
{{- template "tulle.annotations" $root }}
{{- template "tulle.labels" $root }}
spec:
  type: ClusterIP
  {{- if index . 5 }}
  clusterIP: None
  {{- end }}
  selector:
    linkerd.io/control-plane-component: control-plane
    linkerd.io/control-plane-ns: {{ $root.Release.Namespace }}
  ports:
  - {name: {{ index . 2 }}, port: {{ index . 3 }}, targetPort: {{ index . 4 }}}
{{- end }}
