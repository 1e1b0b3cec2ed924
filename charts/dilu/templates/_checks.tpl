{{/*
Checks before any object is made. Each refusal names what was found and the remedy.
Where helm renders without a cluster (template, GitOps), `lookup` finds nothing, and the hook Job `check` does the same.
*/}}
{{- define "dilu.checks" -}}
{{- if lookup "v1" "Namespace" "" "kube-system" }}
{{- include "dilu.checks.knative" . }}
{{- include "dilu.checks.version" . }}
{{- include "dilu.checks.onlyInstall" . }}
{{- include "dilu.checks.operator" . }}
{{- end }}
{{- end }}

{{- define "dilu.checks.knative" -}}
{{- $namespace := .Values.servingNamespace }}
{{- $missing := list }}
{{- range list "autoscaling.internal.knative.dev/v1alpha1" "networking.internal.knative.dev/v1alpha1" }}
{{- if not ($.Capabilities.APIVersions.Has .) }}{{ $missing = append $missing . }}{{ end }}
{{- end }}
{{- if $missing }}
{{- fail (printf "\n\nKnative Serving is not in this cluster: it does not serve %s. Install Knative Serving first: https://knative.dev/docs/install/\n" (join ", " $missing)) }}
{{- end }}
{{- if not (lookup "apps/v1" "Deployment" $namespace "autoscaler") }}
{{- fail (printf "\n\nNamespace %q has no Deployment \"autoscaler\" of Knative Serving. Set servingNamespace to the namespace that Knative Serving is in.\n" $namespace) }}
{{- end }}
{{- end }}

{{- define "dilu.checks.version" -}}
{{- if .Values.knative.checkVersion }}
{{- $version := include "dilu.knativeVersion" . }}
{{- if and $version (not (semverCompare ">=1.21.0-0 <1.24.0-0" $version)) }}
{{- fail (printf "\n\nKnative Serving %s: Dilu was tried with 1.21 to 1.23. Use one of these, or install at your own risk with --set knative.checkVersion=false.\n" $version) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The version of Knative Serving, or "" if it is not known: a build from source has "devel". */}}
{{- define "dilu.knativeVersion" -}}
{{- $stock := lookup "apps/v1" "Deployment" .Values.servingNamespace "autoscaler" | default dict }}
{{- $labels := dig "metadata" "labels" dict $stock }}
{{- $annotations := dig "metadata" "annotations" dict $stock }}
{{- $found := list (index $labels "app.kubernetes.io/version") (index $annotations "serving.knative.dev/release") (index $labels "serving.knative.dev/release") }}
{{- $known := "" }}
{{- range $found }}
{{- $text := trimPrefix "v" (. | default "" | toString) }}
{{- if and (not $known) (regexMatch "^[0-9]+\\.[0-9]+" $text) }}{{ $known = $text }}{{ end }}
{{- end }}
{{- $known }}
{{- end }}

{{- define "dilu.checks.onlyInstall" -}}
{{- $role := lookup "rbac.authorization.k8s.io/v1" "ClusterRole" "" (include "dilu.autoscaler.name" .) | default dict }}
{{- $annotations := dig "metadata" "annotations" dict $role }}
{{- $release := index $annotations "meta.helm.sh/release-name" | default "" }}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" | default "" }}
{{- if and $role (or (ne $release .Release.Name) (ne $namespace .Release.Namespace)) }}
{{- if $release }}
{{- fail (printf "\n\nDilu is installed already, as release %q in namespace %q, and a cluster can have only one. Upgrade it: helm upgrade %s CHART --namespace %s\n" $release $namespace $release $namespace) }}
{{- else }}
{{- fail "\n\nDilu is installed already, and not by helm: ClusterRole \"dilu-autoscaler\" has no release. Remove the objects of that installation first.\n" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Knative Operator sets the replicas of Knative's Deployments, and would scale up what the hook scaled down. */}}
{{- define "dilu.checks.operator" -}}
{{- if and (eq .Values.autoscaler.mode "replace") .Values.takeover.scaleStock }}
{{- $stock := lookup "apps/v1" "Deployment" .Values.servingNamespace "autoscaler" | default dict }}
{{- range dig "metadata" "ownerReferences" list $stock }}
{{- if eq .kind "KnativeServing" }}
{{- fail (printf "\n\nKnative Operator manages this Knative (KnativeServing %q) and would scale its autoscaler up again. Install with --set takeover.scaleStock=false, then set in KnativeServing %q:\n  spec:\n    workloads:\n      - name: autoscaler\n        replicas: 0\nUntil then both run, and Knative's autoscaler decides.\n" .name .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
