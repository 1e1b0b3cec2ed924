{{/* One name for all objects: the chart can be installed once in a cluster. */}}
{{- define "dilu.autoscaler.name" -}}
dilu-autoscaler
{{- end }}

{{/* What does not change over the life of a release: a Deployment's selector cannot. */}}
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

{{/* Hooks have a name of their own, so that no selector of the autoscaler finds their pods. */}}
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

{{/* Every bucket that Knative's config-leader-election can ask for, as a YAML list: Leases, Services and EndpointSlices
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
  # One that failed is there for a day, whatever becomes of the release.
  ttlSecondsAfterFinished: 86400
  # What is refused once is refused again. A pod that was driven off its node is another matter.
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
  # Three steps, and time to fetch the image.
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

{{/* What every hook object that is no Job carries: it is there while hooks run, and not between. */}}
{{- define "dilu.hook.annotations" -}}
helm.sh/hook-weight: "-10"
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
