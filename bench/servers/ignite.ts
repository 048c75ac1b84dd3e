/**
 * An Ignite 2 node on a JVM of its own, and its thin client for Node. The node is a few lines of Java that the JDK runs
 * from source, because Ignite's own starter wants Spring for its configuration. Values are JSON text: the client writes
 * bytes one number at a time, each behind an await, so text is the fastest that it has.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MapClient } from '../side.ts'
import { keys, type Reading, values } from '../value.ts'
import { freePort, start } from './child.ts'
import { classPathOf } from './maven.ts'
import { packageVersion } from './package-version.ts'

const IGNITE = { group: 'org.apache.ignite', name: 'ignite-core', version: '2.17.0' }
/** What its manual asks for from Java 9 on. */
const OPENED = [
  ...[
    'java.io',
    'java.lang',
    'java.lang.reflect',
    'java.math',
    'java.net',
    'java.nio',
    'java.time',
    'java.util',
  ],
  ...[
    'java.util.concurrent',
    'java.util.concurrent.atomic',
    'java.util.concurrent.locks',
    'jdk.internal.access',
  ],
  ...['jdk.internal.misc', 'sun.nio.ch', 'sun.util.calendar'],
]
const JAVA_FLAGS = [
  ...OPENED.flatMap((name) => ['--add-opens', `java.base/${name}=ALL-UNNAMED`]),
  ...['--add-opens', 'java.management/com.sun.jmx.mbeanserver=ALL-UNNAMED'],
  ...['--add-opens', 'jdk.management/com.sun.management.internal=ALL-UNNAMED'],
  ...['-Xms1g', '-Xmx1g', '-DIGNITE_UPDATE_NOTIFIER=false', '-Djava.net.preferIPv4Stack=true'],
]

const NODE = `
import java.util.List;
import org.apache.ignite.Ignition;
import org.apache.ignite.configuration.*;
import org.apache.ignite.spi.communication.tcp.TcpCommunicationSpi;
import org.apache.ignite.spi.discovery.tcp.TcpDiscoverySpi;
import org.apache.ignite.spi.discovery.tcp.ipfinder.vm.TcpDiscoveryVmIpFinder;

public class Node {
  public static void main(String[] args) {
    int client = Integer.parseInt(args[0]), discovery = Integer.parseInt(args[1]);
    IgniteConfiguration config = new IgniteConfiguration();
    config.setWorkDirectory(args[2]);
    config.setLocalHost("127.0.0.1");
    config.setMetricsLogFrequency(0);
    config.setPeerClassLoadingEnabled(false);
    config.setConnectorConfiguration(null);
    TcpDiscoverySpi spi = new TcpDiscoverySpi();
    spi.setLocalPort(discovery);
    spi.setLocalPortRange(0);
    spi.setIpFinder(new TcpDiscoveryVmIpFinder().setAddresses(List.of("127.0.0.1:" + discovery)));
    config.setDiscoverySpi(spi);
    config.setClientConnectorConfiguration(new ClientConnectorConfiguration().setHost("127.0.0.1").setPort(client).setPortRange(0));
    CacheConfiguration<Object, Object> cache = new CacheConfiguration<>("bench");
    cache.setBackups(0);
    config.setCacheConfiguration(cache);
    Ignition.start(config);
    System.out.println("bench node is ready");
  }
}
`

export async function startIgnite(): Promise<MapClient & { close(): Promise<void> }> {
  const classPath = classPathOf(IGNITE)
  const folder = await mkdtemp(join(tmpdir(), 'actorgrid-bench-ignite-'))
  const source = join(folder, 'Node.java')
  await writeFile(source, NODE)
  const port = await freePort()
  const server = await start({
    name: 'the Ignite node',
    command: 'java',
    args: [...JAVA_FLAGS, '-cp', classPath, source, String(port), String(await freePort()), folder],
    ready: /bench node is ready/,
  })
  const stop = async (): Promise<void> => {
    await server.end('SIGKILL')
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const { default: IgniteClient } = await import('apache-ignite-client')
    const { IgniteClientConfiguration, ObjectType } = IgniteClient
    let lost = ''
    const client = new IgniteClient((_state, reason) => {
      if (reason) lost = `the client lost its connection: ${reason}`
    })
    const told = async <T>(call: Promise<T>): Promise<T> => {
      try {
        return await call
      } catch (error) {
        throw new Error(lost || String(error), { cause: error })
      }
    }
    await client.connect(new IgniteClientConfiguration(`127.0.0.1:${port}`))
    const cache = client
      .getCache('bench')
      .setKeyType(ObjectType.PRIMITIVE_TYPE.STRING)
      .setValueType(ObjectType.PRIMITIVE_TYPE.STRING)
    return {
      name: 'Ignite, JSON text',
      version: `Ignite ${IGNITE.version}, ${packageVersion('apache-ignite-client')}`,
      get: async (id) => JSON.parse((await told(cache.get(keys[id]!))) as string) as Reading,
      put: (id) => told(cache.put(keys[id]!, JSON.stringify(values[id]!))),
      async close() {
        client.disconnect()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}
