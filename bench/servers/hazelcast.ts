/**
 * Hazelcast members, each on a JVM of its own, and the client for Node. Values are MessagePack in byte arrays, as on the
 * other sides; a second client leaves the objects to hazelcast-client, which makes JSON of them.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'hazelcast-client'
import type { MapClient } from '../side.ts'
import { keys, pack, type Reading, unpack, values } from '../value.ts'
import { freePort, type Running, start } from './child.ts'
import { classPathOf } from './maven.ts'
import { packageVersion } from './package-version.ts'

export interface HazelcastServer {
  /** Bytes in MessagePack, which this process makes and reads. */
  readonly packed: MapClient
  /** Objects, as hazelcast-client stores them. */
  readonly objects: MapClient
  close(): Promise<void>
}

const HAZELCAST = { group: 'com.hazelcast', name: 'hazelcast', version: '5.6.0' }
/** What its manual asks for from Java 9 on; without, it is slower and says so. */
const JAVA_FLAGS = [
  ...['--add-modules', 'java.se', '--add-exports', 'java.base/jdk.internal.ref=ALL-UNNAMED'],
  ...['java.lang', 'sun.nio.ch'].flatMap((name) => ['--add-opens', `java.base/${name}=ALL-UNNAMED`]),
  ...['--add-opens', 'java.management/sun.management=ALL-UNNAMED'],
  ...['--add-opens', 'jdk.management/com.sun.management.internal=ALL-UNNAMED'],
  ...['-Xms1g', '-Xmx1g'],
]

export async function startHazelcast(backups: number): Promise<HazelcastServer> {
  const classPath = classPathOf(HAZELCAST)
  const folder = await mkdtemp(join(tmpdir(), 'actorgrid-bench-hazelcast-'))
  const members: Running[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(members.map((member) => member.end('SIGKILL')))
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const ports = [await freePort(), await freePort()].slice(0, backups + 1)
    for (const port of ports) {
      const path = join(folder, `member-${port}.yaml`)
      await writeFile(path, configOf(port, ports, backups))
      const flags = [...JAVA_FLAGS, `-Dhazelcast.config=${path}`, '-cp', classPath]
      // One after the other, so that the second finds the first.
      const size = members.length + 1
      members.push(
        await start({
          name: 'the Hazelcast member',
          command: 'java',
          args: [...flags, 'com.hazelcast.core.server.HazelcastMemberStarter'],
          ready: size === 1 ? / is STARTED/ : new RegExp(`size:\\s*${size}`),
        }),
      )
    }
    const addresses = ports.map((port) => `127.0.0.1:${port}`)
    const client = await Client.newHazelcastClient({
      clusterName: 'bench',
      network: { clusterMembers: addresses },
      customLogger: quiet,
    })
    const bytes = await client.getMap<string, Buffer>('packed')
    const objects = await client.getMap<string, Reading>('objects')
    const version = `Hazelcast ${HAZELCAST.version}, ${packageVersion('hazelcast-client')}, ${backups} backups`
    return {
      packed: {
        name: 'hazelcast-client',
        version,
        get: async (id) => unpack(await bytes.get(keys[id]!)),
        put: (id) => bytes.set(keys[id]!, pack(values[id]!)),
      },
      objects: {
        name: 'hazelcast-client, its own JSON',
        version,
        get: (id) => objects.get(keys[id]!),
        put: (id) => objects.set(keys[id]!, values[id]!),
      },
      async close() {
        await client.shutdown()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

const nothing = (): void => {}
const quiet = { log: nothing, error: nothing, warn: nothing, info: nothing, debug: nothing, trace: nothing }

function configOf(port: number, ports: readonly number[], backups: number): string {
  return `hazelcast:
  cluster-name: bench
  properties:
    hazelcast.phone.home.enabled: false
    hazelcast.socket.bind.any: false
    hazelcast.logging.type: jdk
  network:
    public-address: 127.0.0.1:${port}
    port:
      port: ${port}
      auto-increment: false
    interfaces:
      enabled: true
      interfaces: [127.0.0.1]
    join:
      auto-detection:
        enabled: false
      multicast:
        enabled: false
      tcp-ip:
        enabled: true
        member-list: [${ports.map((each) => `'127.0.0.1:${each}'`).join(', ')}]
  map:
    default:
      backup-count: ${backups}
`
}
