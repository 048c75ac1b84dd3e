/**
 * The Helm chart: its values against the table of member options, from which they must not drift, and what helm makes
 * of it. Names of releases are chosen so that YAML would take them for booleans or numbers.
 */

import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { optionRows, resolveOptions } from '../../src/member/options.ts'
import { CHART, findHelm, Helm, type Manifest } from './helm.ts'

interface Variable {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: Record<string, Record<string, string>>
}
interface Pod {
  readonly metadata: {
    readonly labels: Record<string, unknown>
    readonly annotations?: Record<string, string>
  }
  readonly spec: Record<string, unknown> & { readonly containers: readonly [Container] }
}
interface Container {
  readonly env: readonly Variable[]
  readonly image: string
  readonly ports: readonly [{ readonly containerPort: number }]
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  readonly resources: Record<'limits' | 'requests', Record<string, string>>
  readonly securityContext: Record<string, unknown>
}
interface Bounds {
  readonly type?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly string[]
}

const read = (path: string): string => readFileSync(`${CHART}/${path}`, 'utf8')
const values = parse(read('values.yaml')) as { options: Record<string, unknown> }
const schema = JSON.parse(read('values.schema.json')) as {
  properties: Record<string, object> & { options: { properties: Record<string, Bounds> } }
}
const optionSchemas = schema.properties.options.properties
const NEEDED = {
  image: { repository: 'registry.example.com/actorgrid' },
  options: { nats: ['nats://nats:4222'] },
}

/** Options whose default is another in a pod than on a machine. */
const OWN_DEFAULTS: Record<string, unknown> = {
  nats: [],
  cluster: '',
  name: '$(POD_NAME)',
  exclusiveName: true,
  listen: '0.0.0.0:7400',
  advertise: '$(POD_IP):7400',
  zone: '$(POD_ZONE)',
  host: '$(NODE_NAME)',
  expectMembers: 0,
}

describe('values and the table of options', () => {
  const names = optionRows.map(({ name }) => name)

  test('have the same options in the same order', () => {
    expect(Object.keys(values.options)).toEqual(names)
    expect(Object.keys(optionSchemas)).toEqual(names)
    expect(Object.keys(schema.properties).sort()).toEqual([...Object.keys(values), 'global'].sort())
  })

  test.each(optionRows)('$name has the default of the member, or one for pods', (row) => {
    const value = values.options[row.name]
    if (row.name in OWN_DEFAULTS) expect(value).toEqual(OWN_DEFAULTS[row.name])
    else expect(String(value)).toBe(row.default)
  })

  test.each(optionRows.filter(({ name }) => optionSchemas[name]?.type === 'integer'))(
    '$name has the bounds of the member',
    ({ name }) => {
      const refused = (value: number): boolean => {
        try {
          resolveOptions({ given: { [name]: value } })
        } catch (error) {
          return String(error).includes('must be a whole number')
        }
        return false
      }
      const { minimum, maximum } = optionSchemas[name]!
      const least = name === 'expectMembers' ? minimum! + 1 : minimum! // 0 is the chart's own: `replicas`
      expect([least - 1, least, maximum!, maximum! + 1].map(refused)).toEqual([true, false, false, true])
    },
  )

  test('log levels are those of the member', () => {
    for (const logLevel of optionSchemas.logLevel!.enum!) resolveOptions({ given: { logLevel } })
    const help = optionRows.find(({ name }) => name === 'logLevel')!.help
    expect(help).toContain(optionSchemas.logLevel!.enum!.join(', '))
  })
})

test('the chart and the image are of this package', () => {
  const { version, bin } = JSON.parse(readFileSync(`${CHART}/../../package.json`, 'utf8')) as {
    version: string
    bin: { actorgrid: string }
  }
  expect((parse(read('Chart.yaml')) as { appVersion: string }).appVersion).toBe(version)
  const main = `/app/node_modules/actorgrid/${bin.actorgrid.slice(2)}`
  const dockerfile = read('../Dockerfile')
  expect(dockerfile).toContain(`ENTRYPOINT ["node", "${main}"]`)
  expect(dockerfile).toContain(`actorgrid:${version}`)
  expect(read('templates/NOTES.txt')).toContain(`node ${main} members`)
})

const found = findHelm()
if ('missing' in found) console.warn(`The chart is not rendered: ${found.missing}. Set HELM_BIN to a helm 3.`)
else rendered(new Helm(found.path))

function rendered(helm: Helm): void {
  const NAMES = ['n', 'on', '1e3', '0x1f', 'null', 'a.b', 'actorgrid', 'x'.repeat(53), `${'y-'.repeat(26)}z`]
  const EVERYTHING = {
    ...NEEDED,
    natsSecret: { name: 'on', key: 'y' },
    imagePullSecrets: [{ name: 'pull' }],
    moduleFiles: { 'smooth.js': 'export const a = 1\n', 'more.mjs': '' },
    resources: { requests: { cpu: 2, memory: '2Gi' }, limits: { cpu: 4, memory: '4Gi' } },
    livenessProbe: { tcpSocket: { port: 'grid' }, failureThreshold: 10 },
    topologySpread: { zone: 'DoNotSchedule', host: '' },
    podAnnotations: { note: 'true' },
    podLabels: { team: '1e3' },
    nodeSelector: { disk: 'no' },
    tolerations: [{ operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    priorityClassName: 'high',
    extraEnv: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/ca/ca.crt' }],
    extraVolumes: [{ name: 'ca', secret: { secretName: 'ca' } }],
    extraVolumeMounts: [{ name: 'ca', mountPath: '/ca' }],
  }

  const one = (manifests: readonly Manifest[], kind: string): Manifest => {
    const [first, second] = manifests.filter((manifest) => manifest.kind === kind)
    expect(second).toBeUndefined()
    return first!
  }
  const podOf = (manifests: readonly Manifest[]): Pod =>
    (one(manifests, 'StatefulSet').spec as { template: Pod }).template
  const memberOf = (manifests: readonly Manifest[]): Container => podOf(manifests).spec.containers[0]

  /** The environment of the first pod, as kubelet would make it. */
  function environmentOf(manifests: readonly Manifest[]): Record<string, string> {
    const name = `${one(manifests, 'StatefulSet').metadata.name}-0`
    const fields: Record<string, string> = {
      'metadata.name': name,
      'status.podIP': '10.1.2.3',
      'spec.nodeName': 'node-7',
      "metadata.labels['topology.kubernetes.io/zone']": '',
    }
    const result: Record<string, string> = {}
    for (const { name, value, valueFrom = {} } of memberOf(manifests).env) {
      expect(result[name]).toBeUndefined()
      const { fieldRef, configMapKeyRef } = valueFrom
      if (fieldRef) result[name] = fields[fieldRef.fieldPath!]!
      else if (configMapKeyRef) {
        const map = manifests.find((m) => m.kind === 'ConfigMap' && m.metadata.name === configMapKeyRef.name)
        result[name] = String(map!.data![configMapKeyRef.key!])
      } else result[name] = value!.replace(/\$\((\w+)\)/g, (_, known: string) => result[known]!)
    }
    return result
  }

  test('lint finds nothing', () => {
    for (const given of [{}, NEEDED, EVERYTHING]) helm.run(['lint', '--strict'], given)
  })

  test('what is missing is named, all at once', () => {
    expect(() => helm.render({})).toThrow(/options\.nats is missing.*\n.*image\.repository is missing/)
    expect(() => helm.render({ ...NEEDED, options: { nats: [] } })).toThrow(/--set options\.nats=nats:/)
    helm.render({ image: NEEDED.image, natsSecret: { name: 'nats-urls' } })
  })

  test('values that cannot work are refused', () => {
    const refuse =
      (options: object): unknown =>
      () =>
        helm.render({ ...NEEDED, options: { ...NEEDED.options, ...options } })
    expect(refuse({ beaconsMs: 3 })).toThrow(/beaconsMs is not allowed/)
    expect(refuse({ backups: 7 })).toThrow(/backups: Must be less than or equal to 6/)
    expect(refuse({ backups: '1' })).toThrow(/backups: Invalid type/)
    expect(refuse({ backups: 3, minInSync: 4 })).toThrow(
      /minInSync \(4\) is more than there are replicas \(3\)/,
    )
    expect(refuse({ listen: '0.0.0.0:7500' })).toThrow(/advertise .* must have the port of options\.listen/)
    expect(refuse({ maxMemoryBytes: null })).toThrow(/maxMemoryBytes is required/)
  })

  test('the environment is what the member takes, with an entry for each option', () => {
    const manifests = helm.render(NEEDED)
    const environment = environmentOf(manifests)
    const settings = resolveOptions({ environment })
    for (const { name } of optionRows)
      if (!(name in OWN_DEFAULTS)) expect(settings[name]).toEqual(values.options[name])
    expect(settings).toMatchObject({
      nats: ['nats://nats:4222'],
      cluster: 'default-shop',
      name: 'actorgrid-shop-0',
      exclusiveName: true,
      listen: '0.0.0.0:7400',
      advertise: '10.1.2.3:7400',
      zone: undefined,
      host: 'node-7',
      expectMembers: 3,
    })
    const all = helm.render({ ...NEEDED, options: { ...NEEDED.options, modules: ['/app/a.js'] } })
    const set = Object.keys(environmentOf(all)).filter((name) => name.startsWith('ACTORGRID_'))
    expect(set.sort()).toEqual(optionRows.map((row) => row.environment).sort())
    expect(environment.NODE_OPTIONS).toBe('--max-old-space-size=512')
  })

  test('options are written as given, from files and from the command line', () => {
    const options = {
      nats: ['nats://a:4222', 'tls://b:4222'],
      cluster: '1e3',
      zone: 'on',
      exclusiveName: false,
      backups: 0,
      foundAfterMs: 0,
      maxMemoryBytes: 1099511627776,
      listen: '[::]:7500',
      advertise: '[$(POD_IP)]:7500',
      expectMembers: 9,
    }
    const file = helm.render({ ...NEEDED, options })
    const { nats, ...others } = options
    const flags = Object.entries(others).flatMap(([name, value]) => {
      const flag = typeof value === 'string' ? '--set-string' : '--set'
      return [flag, `options.${name}=${value}`]
    })
    const command = helm.render(NEEDED, 'shop', [...flags, '--set', `options.nats=${nats.join('\\,')}`])
    expect(command).toEqual(file)
    const settings = resolveOptions({ environment: environmentOf(file) })
    expect(settings).toMatchObject({ ...options, advertise: '[10.1.2.3]:7500' })
    expect(memberOf(file).ports[0].containerPort).toBe(7500)
  })

  test.each(NAMES)('release %s: names are valid, labels are texts, selectors find the pods', (release) => {
    for (const given of [NEEDED, EVERYTHING]) {
      const manifests = helm.render(given, release)
      const { name } = one(manifests, 'StatefulSet').metadata
      const labels = podOf(manifests).metadata.labels
      expect(labels['app.kubernetes.io/instance']).toBe(release)
      expect(`${name}-0123456789`.length).toBeLessThan(64) // the label of a revision, and pods
      expect(resolveOptions({ environment: environmentOf(helm.render(NEEDED, release)) }).cluster).toContain(
        release.replaceAll('.', '-').slice(0, 40),
      )
      for (const { kind, metadata, spec } of manifests) {
        expect(metadata.name).toMatch(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/)
        for (const value of Object.values({ ...metadata.labels, ...labels }))
          expect(value).toMatch(/^[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/)
        if (kind === 'Service') expect(labels).toMatchObject((spec as { selector: object }).selector)
        if (kind === 'StatefulSet' || kind === 'PodDisruptionBudget')
          expect(labels).toMatchObject((spec as { selector: { matchLabels: object } }).selector.matchLabels)
      }
    }
  })

  test('two long names that begin alike stay two', () => {
    const [a, b] = ['a', 'b'].map((end) => helm.render(NEEDED, 'x'.repeat(52) + end))
    expect(one(a!, 'StatefulSet').metadata.name).not.toBe(one(b!, 'StatefulSet').metadata.name)
  })

  test('members stop gracefully, one at a time, and may do nothing they need not', () => {
    const manifests = helm.render(NEEDED)
    expect(one(manifests, 'StatefulSet').spec).toMatchObject({
      podManagementPolicy: 'Parallel',
      replicas: 3,
      serviceName: 'actorgrid-shop-members',
      updateStrategy: { type: 'RollingUpdate' },
    })
    const { spec } = podOf(manifests)
    expect(spec).toMatchObject({
      terminationGracePeriodSeconds: 600,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000 },
    })
    expect(spec.containers[0]).toMatchObject({
      image: 'registry.example.com/actorgrid:0.1.0',
      args: ['start'],
      readinessProbe: { tcpSocket: { port: 'grid' } },
      securityContext: {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
    })
    expect(spec.containers[0]).not.toHaveProperty('livenessProbe')
    expect(one(manifests, 'PodDisruptionBudget').spec).toMatchObject({ maxUnavailable: 1 })
    expect(one(manifests, 'ServiceAccount')).toMatchObject({ automountServiceAccountToken: false })
    expect(manifests.map(({ kind }) => kind).sort()).toEqual([
      'ConfigMap',
      'NetworkPolicy',
      'PodDisruptionBudget',
      'Service',
      'Service',
      'ServiceAccount',
      'StatefulSet',
    ])
  })

  test('a change of scale leaves the pods alone, a change of a module does not', () => {
    const pod = (given: object): Pod => podOf(helm.render({ ...NEEDED, ...given }))
    expect(pod({ replicas: 5 })).toEqual(pod({ replicas: 3 }))
    const [a, b] = ['1', '2'].map((text) => pod({ moduleFiles: { 'a.js': `export const a = ${text}` } }))
    expect(a!.metadata.annotations).not.toEqual(b!.metadata.annotations)
  })

  test('modules of files and of the image are loaded', () => {
    const options = { ...NEEDED.options, modules: ['/app/own.js'] }
    const manifests = helm.render({ ...EVERYTHING, natsSecret: { name: '' }, options })
    const { modules } = resolveOptions({ environment: environmentOf(manifests) })
    expect(modules).toEqual(['/app/own.js', '/app/modules/more.mjs', '/app/modules/smooth.js'])
    expect(memberOf(manifests).volumeMounts!.map(({ mountPath }) => mountPath)).toEqual([
      '/app/modules',
      '/ca',
    ])
    const map = manifests.find(({ metadata }) => metadata.name === 'actorgrid-shop-modules')
    expect(map!.data).toEqual(EVERYTHING.moduleFiles)
  })

  test('addresses of NATS with passwords come from a Secret alone', () => {
    const { env } = memberOf(helm.render(EVERYTHING))
    expect(env.filter(({ name }) => name === 'ACTORGRID_NATS')).toEqual([
      { name: 'ACTORGRID_NATS', valueFrom: { secretKeyRef: { name: 'on', key: 'y' } } },
    ])
  })

  test('memory is computed, and a limit below what a member may take is refused', () => {
    const memory = (given: object): string =>
      memberOf(helm.render({ ...NEEDED, ...given })).resources.limits.memory!
    const limit =
      (text: string): (() => string) =>
      () =>
        memory({ resources: { limits: { memory: text } } })
    expect(memory({})).toBe('1792Mi')
    expect(memberOf(helm.render(NEEDED)).resources.requests).toEqual({ cpu: '500m', memory: '1792Mi' })
    expect(memory({ heapMiB: 1000, options: { ...NEEDED.options, maxMemoryBytes: 16777217 } })).toBe('1273Mi')
    for (const enough of ['1792Mi', '1.75Gi', '1835008Ki', '2G', '1879048192', '1Ti']) limit(enough)()
    for (const little of ['1791Mi', '1.7Gi', '1835007Ki', '1.8G', '1879048191', '1000k'])
      expect(limit(little)).toThrow(/less than options\.maxMemoryBytes \+ heapMiB \+ overheadMiB \(1792Mi\)/)
    expect(limit('lots')).toThrow(/resources\.limits\.memory: Does not match pattern/)
  })

  test('parts can be left out', () => {
    const manifests = helm.render({
      ...NEEDED,
      networkPolicy: { enabled: false },
      podDisruptionBudget: { enabled: false },
      serviceAccount: { create: false },
      topologySpread: { zone: '', host: '' },
    })
    expect(manifests.map(({ kind }) => kind).sort()).toEqual([
      'ConfigMap',
      'Service',
      'Service',
      'StatefulSet',
    ])
    expect(podOf(manifests).spec).toMatchObject({ serviceAccountName: 'default' })
    expect(podOf(manifests).spec).not.toHaveProperty('topologySpreadConstraints')
  })

  test('the notes say how to connect, and warn', () => {
    const notes = (given: object): string => helm.notes({ ...NEEDED, ...given })
    expect(notes({})).toContain(
      "connect({ cluster: 'default-shop', members: ['actorgrid-shop.default:7400'] })",
    )
    expect(notes({})).not.toContain('WARNING')
    expect(notes({ replicas: 1 })).toMatch(/WARNING: 1 member\(s\) cannot hold 1 backup/)
    expect(notes({ options: { ...NEEDED.options, minInSync: 3, backups: 2 } })).toMatch(
      /WARNING: options\.minInSync/,
    )
    expect(notes({ networkPolicy: { enabled: false } })).toMatch(/WARNING: .*no NetworkPolicy/)
  })
}
