/**
 * Where a process of a chaos cluster runs: on this machine's loopback address, or inside a network namespace of its own,
 * which stands for a machine. Everything else in test/chaos only ever sees a `Host`, so that each fault of processes and
 * of nats-servers can be had in both places.
 */

export interface Host {
  /** Of this host alone, and part of no other's. */
  readonly name: string
  /** Where its processes listen, and where the others and the clients reach them. */
  readonly address: string
  /** What a command line is put behind, such as `ip netns exec NAME`; empty on the runner's own machine. */
  readonly exec: readonly string[]
  /** Where its member listens. Left out: at `address`, any port. */
  readonly listen?: string
  /** Where its member tells others to connect. Left out: where it listens. */
  readonly advertise?: string
  /** Where its member finds the nats-servers that are at `urls`. Left out: there. */
  readonly natsVia?: (urls: readonly string[]) => Promise<string[]>
}

/** Gives hosts to the processes of one cluster. */
export interface Hosts {
  /** One that no other process of the cluster has; asked for before each process is started for the first time. */
  add(name: string): Promise<Host>
  /** Its process is gone for good. */
  remove(host: Host): Promise<void>
  /** Takes away everything that was made. */
  close(): Promise<void>
}

/** All hosts are this machine, at its loopback address; processes tell each other apart by their ports. */
export const loopbackHosts: Hosts = {
  add: (name) => Promise.resolve({ name, address: '127.0.0.1', exec: [] }),
  remove: () => Promise.resolve(),
  close: () => Promise.resolve(),
}
