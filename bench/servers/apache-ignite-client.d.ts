/** What the benchmarks use of apache-ignite-client, which comes without types. */

declare module 'apache-ignite-client' {
  interface Cache {
    setKeyType(type: number): Cache
    setValueType(type: number): Cache
    get(key: string): Promise<unknown>
    put(key: string, value: Uint8Array): Promise<void>
  }
  const ignite: {
    readonly IgniteClient: new (
      onState: () => void,
    ) => {
      connect(configuration: object): Promise<void>
      disconnect(): void
      getCache(name: string): Cache
    }
    readonly IgniteClientConfiguration: new (...endpoints: string[]) => object
    readonly ObjectType: { readonly PRIMITIVE_TYPE: { readonly STRING: number; readonly BYTE_ARRAY: number } }
  }
  export default ignite
}
