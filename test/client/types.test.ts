/** What the compiler says to a user's program. Checked by `tsc`; at run time there is nothing to do. */

import { expectTypeOf, test } from 'vitest'
import { connect, defineProcessor, type EntryView, type GridMap, type Version } from '../../src/index.ts'

interface Reading {
  site: string
  temp: number
  at?: { zone: string }
  tags: string[]
}

const smooth = defineProcessor('smooth', (entry: EntryView<string, Reading>, by: { alpha: number }) => {
  const { value } = entry
  if (value !== undefined) entry.set({ ...value, temp: value.temp * by.alpha }, { ttlMs: null })
  return value?.temp
})
const touch = defineProcessor('touch', (entry: EntryView<string, Reading>) => entry.exists)
const drop = defineProcessor('drop', (entry: EntryView<string, Reading>) => entry.remove())
const parse = defineProcessor('parse', (entry: EntryView<string, Reading>, text: string) => {
  entry.remove()
  return JSON.parse(text)
})
// @ts-expect-error a processor cannot be asynchronous
defineProcessor('later', async (entry: EntryView<string, Reading>, n: number) => entry.key + n)
// @ts-expect-error nor now and then
defineProcessor('seldom', (entry: EntryView<string, number>) => entry.value ?? Promise.resolve(0))

const numbers = defineProcessor('numbers', (entry: EntryView<string, number>) => entry.value)

/** Never called. */
async function program(map: GridMap<string, Reading>): Promise<void> {
  expectTypeOf(await map.get('a')).toEqualTypeOf<Reading | undefined>()
  expectTypeOf(await map.putIfAbsent('a', { site: '', temp: 1, tags: [] })).toEqualTypeOf<boolean>()
  expectTypeOf((await map.getEntry('a'))?.version).toEqualTypeOf<Version | undefined>()
  expectTypeOf(await map.getAll(['a'])).toEqualTypeOf<Map<string, Reading>>()
  // @ts-expect-error a key of another kind
  void map.get(5)
  // @ts-expect-error a value of another shape
  void map.put('a', { site: '' })
  // @ts-expect-error a version is not just any text
  void map.remove('a', { ifVersion: 'x' })
  // @ts-expect-error a misspelt option
  void map.get('a', { timeoutMS: 5 })

  expectTypeOf(await map.invoke('a', smooth, { alpha: 2 })).toEqualTypeOf<number | null>()
  expectTypeOf(await map.invoke('a', touch)).toEqualTypeOf<boolean>()
  expectTypeOf(await map.invoke('a', drop)).toEqualTypeOf<null>()
  expectTypeOf(await map.invoke('a', parse, '5')).toBeAny()
  expectTypeOf(await map.invoke('a', 'by-name', 5)).toEqualTypeOf<unknown>()
  expectTypeOf(await map.invokeAll(smooth, { alpha: 2 }, { where: { temp: { $gt: 5 } } })).toEqualTypeOf<
    Map<string, number | null>
  >()
  // @ts-expect-error the argument is missing
  void map.invoke('a', smooth)
  // @ts-expect-error the argument has another shape
  void map.invoke('a', smooth, { beta: 1 })
  // @ts-expect-error a processor of another map's values
  void map.invoke('a', numbers)

  const rows = await map.query({
    where: { temp: { $gt: 5 }, 'at.zone': 'a' },
    orderBy: [['temp', 'desc']],
    select: ['site', 'at.zone'],
  })
  expectTypeOf(rows[0]!.value).toEqualTypeOf<{
    site?: string
    temp?: number
    at?: { zone?: string }
    tags?: string[]
  }>()
  expectTypeOf((await map.query({ orderBy: 'temp' }))[0]!.value).toEqualTypeOf<Reading>()
  expectTypeOf((await map.query())[0]!.key).toEqualTypeOf<string>()
  // @ts-expect-error an unknown path to select
  void map.query({ select: ['tmp'] })
  // @ts-expect-error an unknown path
  void map.query({ where: { tmp: 5 } })
  // @ts-expect-error an order by an unknown path
  void map.query({ orderBy: 'tmp' })
  expectTypeOf(await map.update('a', { $inc: { temp: 1 } })).toEqualTypeOf<Reading>()
  // @ts-expect-error a text cannot be added to
  void map.update('a', { $inc: { site: 1 } })

  for await (const change of map.watch({ where: { temp: { $gt: 90 } } })) {
    if (change.type === 'snapshot' || change.type === 'put') {
      expectTypeOf(change.value).toEqualTypeOf<Reading>()
      expectTypeOf(change.key).toEqualTypeOf<string>()
    } else if (change.type === 'remove' || change.type === 'leave') {
      expectTypeOf(change.value).toEqualTypeOf<undefined>()
      expectTypeOf(change.cause).toEqualTypeOf<'removed' | 'expired' | 'evicted' | undefined>()
    } else expectTypeOf(change.covers('a')).toEqualTypeOf<boolean>()
  }
  for await (const [key, value] of map.entries()) {
    expectTypeOf(key).toEqualTypeOf<string>()
    expectTypeOf(value).toEqualTypeOf<Reading>()
  }
  const grid = await connect({ cluster: 'c', nats: 'nats://127.0.0.1' })
  expectTypeOf(grid.map('m')).toEqualTypeOf<GridMap<string, unknown>>()
  // @ts-expect-error a Map is no key
  grid.map<Map<string, string>, number>('m')
  // @ts-expect-error no address at all is caught at run time, no cluster at compile time
  await connect({ members: ['a:1'] })
}

test('the compiler agrees', () => {
  expectTypeOf(program).parameter(0).toEqualTypeOf<GridMap<string, Reading>>()
})
