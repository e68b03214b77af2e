{{- define "pushgate.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pushgate.name" -}}
{{ .Release.Name | trunc 45 | trimSuffix "-" }}
{{- end }}

{{- define "pushgate.check" -}}
{{- if and (not .Values.existingSecret) (not .Values.keys) }}{{ fail "set existingSecret, or keys: the signature_key of the portal" }}{{ end }}
{{- if and (not .Values.redis.enabled) (not .Values.redis.url) (not .Values.redis.urlSecret) }}{{ fail "set redis.url or redis.urlSecret, or redis.enabled" }}{{ end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}{{ fail "set ingress.host" }}{{ end }}
{{- if and .Values.httpRoute.enabled (or (not .Values.httpRoute.host) (not .Values.httpRoute.gateway)) }}{{ fail "set httpRoute.host and httpRoute.gateway" }}{{ end }}
{{- end }}

{{- /* The pod of a program. */ -}}
{{- define "pushgate.pod" -}}
{{- $root := .root }}{{ $v := .root.Values }}
metadata:
  labels:
    {{- include "pushgate.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .kind }}
  {{- if $v.keys }}
  # Not the whole sum: who can read pods, and not Secrets, could try keys with it.
  annotations: { checksum/keys: {{ join "," $v.keys | sha256sum | trunc 6 | quote }} }
  {{- end }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false # variables such as PUSHGATE_SUB_PORT would be refused
  terminationGracePeriodSeconds: {{ add $v.drainSeconds $v.preStopSeconds 20 }}
  {{- with $v.imagePullSecrets }}
  imagePullSecrets: {{ toJson . }}
  {{- end }}
  securityContext: { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: { type: RuntimeDefault } }
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector: { matchLabels: { app.kubernetes.io/instance: {{ $root.Release.Name }}, app.kubernetes.io/component: {{ $.kind }} } }
    {{- end }}
  containers:
    - name: {{ .kind }}
      image: "{{ $v.image.repository }}:{{ $v.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $v.image.pullPolicy }}
      command: ["/pushgate", {{ .kind | quote }}]
      securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
      ports:
        - { name: http, containerPort: {{ .port }} }
        - { name: admin, containerPort: 9090 }
      env:
        - name: PUSHGATE_KEYS
          valueFrom: { secretKeyRef: { name: {{ $v.existingSecret | default (printf "%s-keys" (include "pushgate.name" $root)) }}, key: keys } }
        - name: PUSHGATE_REDIS_URL
          {{- if $v.redis.enabled }}
          value: redis://{{ include "pushgate.name" $root }}-redis:6379/0
          {{- else if $v.redis.urlSecret }}
          valueFrom: { secretKeyRef: { name: {{ $v.redis.urlSecret }}, key: url } }
          {{- else }}
          value: {{ $v.redis.url | quote }}
          {{- end }}
        - { name: PUSHGATE_LISTEN, value: "0.0.0.0:{{ .port }}" }
        - { name: PUSHGATE_ADMIN_LISTEN, value: "0.0.0.0:9090" }
        - { name: PUSHGATE_ADMIN_PUBLIC, value: "true" } # the kubelet asks; the NetworkPolicy keeps others out
        - { name: PUSHGATE_DRAIN, value: "{{ $v.drainSeconds }}s" }
        - { name: PUSHGATE_ID, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
        {{- if eq .kind "publisher" }}
        - { name: PUSHGATE_PUBLISH_ALLOW, value: {{ join "," $v.publisher.allow | quote }} }
        {{- end }}
        {{- range $name, $value := merge (dict) .values.env $v.env }}
        - { name: {{ $name }}, value: {{ $value | toString | quote }} }
        {{- end }}
      readinessProbe: { httpGet: { path: /readyz, port: admin }, periodSeconds: 5 }
      livenessProbe: { httpGet: { path: /livez, port: admin }, periodSeconds: 10, failureThreshold: 6 }
      lifecycle: { preStop: { sleep: { seconds: {{ $v.preStopSeconds }} } } }
      resources: {{ toJson .values.resources }}
{{- end }}
