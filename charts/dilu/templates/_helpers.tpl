{{/* The name of all objects: the chart can be installed once per cluster. */}}
{{- define "dilu.autoscaler.name" -}}
dilu-autoscaler
{{- end }}

{{/* Labels that stay for the life of a release, as a Deployment's selector must. */}}
{{- define "dilu.autoscaler.selector" -}}
app.kubernetes.io/name: {{ include "dilu.autoscaler.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dilu.labels" -}}
app.kubernetes.io/part-of: dilu
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "dilu.autoscaler.labels" -}}
{{ include "dilu.autoscaler.selector" . }}
app.kubernetes.io/component: autoscaler
{{ include "dilu.labels" . }}
{{- end }}

{{/* Hooks have another name, so that no selector of the autoscaler matches their pods. */}}
{{- define "dilu.hook.name" -}}
dilu-takeover
{{- end }}

{{- define "dilu.hook.labels" -}}
app.kubernetes.io/name: {{ include "dilu.hook.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: takeover
{{ include "dilu.labels" . }}
{{- end }}

{{- define "dilu.autoscaler.image" -}}
{{ .Values.autoscaler.image.repository }}:{{ .Values.autoscaler.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* Every bucket that Knative's config-leader-election can configure, as a YAML list: Leases, Services and EndpointSlices
     have these names, and with them a rule can leave all others out. */}}
{{- define "dilu.bucketNames" -}}
{{- range $total := untilStep 1 11 1 }}
{{- range $ordinal := until $total }}
- {{ printf "autoscaler-bucket-%02d-of-%02d" $ordinal $total }}
{{- end }}
{{- end }}
{{- end }}

{{/* The pod-level settings of the Restricted security level. */}}
{{- define "dilu.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "dilu.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A hook's pod: one verb of the take-over, with the autoscaler's image. Arguments: root, verb, arguments. */}}
{{- define "dilu.hook.job" -}}
{{- $root := .root }}
{{- $timeout := int $root.Values.takeover.timeoutSeconds }}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "dilu.hook.name" $root }}-{{ .verb }}
  namespace: {{ $root.Values.servingNamespace }}
  labels:
    {{- include "dilu.hook.labels" $root | nindent 4 }}
  annotations:
    helm.sh/hook: {{ .events }}
    helm.sh/hook-weight: "0"
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
spec:
  # A failed Job stays for a day, whatever happens to the release.
  ttlSecondsAfterFinished: 86400
  # A refusal is final, so there is no retry, except for a pod that was evicted.
  backoffLimit: 3
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions:
          - type: DisruptionTarget
      - action: FailJob
        onExitCodes:
          operator: NotIn
          values: [0]
  # Three steps, and time to pull the image.
  activeDeadlineSeconds: {{ add (mul 3 $timeout) 120 }}
  template:
    metadata:
      labels:
        {{- include "dilu.hook.labels" $root | nindent 8 }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "dilu.hook.name" $root }}
      securityContext:
        {{- include "dilu.podSecurityContext" $root | nindent 8 }}
      {{- with $root.Values.autoscaler.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      {{- with $root.Values.autoscaler.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $root.Values.autoscaler.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: takeover
          image: {{ include "dilu.autoscaler.image" $root }}
          imagePullPolicy: {{ $root.Values.autoscaler.image.pullPolicy }}
          command: [python, -m, dilu_autoscaler.knative.installing.takeover, {{ .verb }}]
          args:
            - --namespace={{ $root.Values.servingNamespace }}
            - --timeout={{ $timeout }}
            {{- range .arguments }}
            - {{ . }}
            {{- end }}
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            requests:
              cpu: 50m
              memory: 64Mi
            limits:
              memory: 256Mi
          securityContext:
            {{- include "dilu.containerSecurityContext" $root | nindent 12 }}
{{- end }}

{{/* Annotations of hook objects other than Jobs: they exist only while hooks run. */}}
{{- define "dilu.hook.annotations" -}}
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
