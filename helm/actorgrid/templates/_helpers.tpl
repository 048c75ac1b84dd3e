{{/* A text of at most `max` characters: a longer one is cut and told apart by a hash. */}}
{{- define "actorgrid.short" -}}
{{- if gt (len .text) (int .max) -}}
{{- printf "%s-%s" (trunc (int (sub .max 9)) .text | trimSuffix "-") (sha256sum .text | trunc 8) -}}
{{- else -}}
{{- .text -}}
{{- end -}}
{{- end -}}

{{/*
The name of everything. It begins with a letter and has no dots, as Services want it, whatever the release is called,
and leaves room for the suffixes of pods and revisions within 63 characters.
*/}}
{{- define "actorgrid.name" -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- $name := hasPrefix "actorgrid" $release | ternary $release (printf "actorgrid-%s" $release) -}}
{{- include "actorgrid.short" (dict "text" (.Values.fullnameOverride | default $name) "max" 48) -}}
{{- end -}}

{{- define "actorgrid.headless" -}}
{{- include "actorgrid.name" . }}-members
{{- end -}}

{{- define "actorgrid.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "actorgrid.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "actorgrid.cluster" -}}
{{- $name := printf "%s-%s" .Release.Namespace .Release.Name | replace "." "-" -}}
{{- .Values.options.cluster | default (include "actorgrid.short" (dict "text" $name "max" 64)) -}}
{{- end -}}

{{- define "actorgrid.port" -}}
{{- regexFind "[0-9]+$" .Values.options.listen -}}
{{- end -}}

{{- define "actorgrid.selector" -}}
app.kubernetes.io/name: "actorgrid"
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "actorgrid.labels" -}}
{{ include "actorgrid.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | quote }}
{{- end -}}

{{/* All options but expectMembers, as lines of `env`. Integers from values files are floats, which print as 1e+09. */}}
{{- define "actorgrid.options" -}}
{{- $own := dict "cluster" (include "actorgrid.cluster" .) "modules" (include "actorgrid.modules" .) -}}
{{- range $name, $value := omit (merge $own .Values.options) "expectMembers" (ternary "nats" "" (ne $.Values.natsSecret.name "")) }}
{{- $text := kindIs "float64" $value | ternary (printf "%d" (int64 $value)) (join "," $value) }}
{{- if $text }}
- name: {{ include "actorgrid.environment" $name }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* partitionCount: ACTORGRID_PARTITION_COUNT */}}
{{- define "actorgrid.environment" -}}
ACTORGRID_{{ regexReplaceAll "([A-Z])" . "_${1}" | upper }}
{{- end -}}

{{/* Modules are beneath /app, where they find the package `actorgrid` (see helm/Dockerfile). */}}
{{- define "actorgrid.modules" -}}
{{- $paths := list -}}
{{- if .Values.options.modules }}{{ $paths = append $paths (join "," .Values.options.modules) }}{{ end -}}
{{- range $file, $_ := .Values.moduleFiles }}{{ $paths = append $paths (printf "/app/modules/%s" $file) }}{{ end -}}
{{- join "," $paths -}}
{{- end -}}

{{/* What a member may take in all, in MiB. */}}
{{- define "actorgrid.memoryMiB" -}}
{{- $mib := 1048576 -}}
{{- add (div (add (int64 .Values.options.maxMemoryBytes) (sub $mib 1)) $mib) .Values.heapMiB .Values.overheadMiB -}}
{{- end -}}

{{- define "actorgrid.memoryLimit" -}}
{{- .Values.resources.limits.memory | default (printf "%sMi" (include "actorgrid.memoryMiB" .)) -}}
{{- end -}}

{{/* A quantity of Kubernetes ("1.5Gi") in whole MiB. */}}
{{- define "actorgrid.quantityMiB" -}}
{{- $units := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- $unit := get $units (trimPrefix $number .) | default 1 -}}
{{- floor (divf (mulf (float64 $number) $unit) 1048576) | int64 -}}
{{- end -}}

{{/* Refuses values that would make pods that cannot start or data that is not safe, and names all that is wrong. */}}
{{- define "actorgrid.check" -}}
{{- $wrong := list -}}
{{- $options := .Values.options -}}
{{- if not (or $options.nats .Values.natsSecret.name) -}}
{{- $wrong = append $wrong "options.nats is missing: the addresses of your NATS servers, e.g. --set options.nats=nats://nats.nats:4222 (or natsSecret.name)" -}}
{{- end -}}
{{- if not .Values.image.repository -}}
{{- $wrong = append $wrong "image.repository is missing: no image is published yet, build one with helm/Dockerfile" -}}
{{- end -}}
{{- if ne (include "actorgrid.port" .) (regexFind "[0-9]+$" $options.advertise) -}}
{{- $wrong = append $wrong (printf "options.advertise (%s) must have the port of options.listen (%s)" $options.advertise $options.listen) -}}
{{- end -}}
{{- if gt (int $options.minInSync) (int .Values.replicas) -}}
{{- $wrong = append $wrong (printf "options.minInSync (%v) is more than there are replicas (%v): no write would be acknowledged" $options.minInSync .Values.replicas) -}}
{{- end -}}
{{- $limit := include "actorgrid.memoryLimit" . -}}
{{- if lt (include "actorgrid.quantityMiB" $limit | int64) (include "actorgrid.memoryMiB" . | int64) -}}
{{- $wrong = append $wrong (printf "resources.limits.memory (%s) is less than options.maxMemoryBytes + heapMiB + overheadMiB (%sMi): members would be killed for it" $limit (include "actorgrid.memoryMiB" .)) -}}
{{- end -}}
{{- if $wrong }}{{ fail (printf "\n\n  %s\n" (join "\n  " $wrong)) }}{{ end -}}
{{- end -}}
