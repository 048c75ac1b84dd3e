/** What the benchmarks use of apache-ignite-client, which comes without types. */

declare module 'apache-ignite-client' {
  interface Cache {
    setKeyType(type: number): Cache
    setValueType(type: number): Cache
    get(key: string): Promise<unknown>
    put(key: string, value: string): Promise<void>
  }
  interface Client {
    connect(configuration: object): Promise<void>
    disconnect(): void
    getCache(name: string): Cache
  }
  const IgniteClient: {
    new (onState: (state: number, reason: string | null) => void): Client
    readonly IgniteClientConfiguration: new (...endpoints: string[]) => object
    readonly ObjectType: { readonly PRIMITIVE_TYPE: { readonly STRING: number } }
  }
  export default IgniteClient
}
