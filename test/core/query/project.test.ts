import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteWriter } from '../../../src/core/base/bytes.ts'
import { GridError } from '../../../src/core/base/errors.ts'
import { compileProjection } from '../../../src/core/query/project.ts'
import { decode, kindOf, object, path, stored } from './support.ts'

function project(value: unknown, select: unknown): unknown {
  const { bytes, start, end } = stored(value)
  const out = new ByteWriter(1)
  out.u8(0x77)
  compileProjection(select).project(bytes, start, end, out)
  expect(out.buffer[out.start]).toBe(0x77)
  return decode(out.buffer, out.start + 1, out.length)
}

/** The same over decoded values. */
function projectNaively(value: unknown, paths: readonly string[]): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value as object)) {
    const rest = paths.filter((p) => p.startsWith(`${name}.`)).map((p) => p.slice(name.length + 1))
    if (paths.includes(name)) kept[name] = member
    else if (rest.length > 0 && kindOf(member) === 8) {
      const inner = projectNaively(member, rest)
      if (Object.keys(inner).length > 0) kept[name] = inner
    }
  }
  return kept
}

test('selected members stay where they were', () => {
  const value = { site: 'x', temp: 1, at: { zone: 'a', since: new Date(5), empty: {} }, tags: [1, { a: 1 }] }
  expect(project(value, ['temp', 'site'])).toEqual({ site: 'x', temp: 1 })
  expect(Object.keys(project(value, ['temp', 'site']) as object)).toEqual(['site', 'temp'])
  expect(project(value, ['at.zone', 'tags'])).toEqual({ at: { zone: 'a' }, tags: [1, { a: 1 }] })
  expect(project(value, ['at.zone', 'at'])).toEqual({ at: value.at })
  expect(project(value, ['at.empty'])).toEqual({ at: { empty: {} } })
  expect(project(value, ['at.none', 'tags.a', 'site.a'])).toEqual({})
  expect(project(value, [])).toEqual({})
  expect(project(value, undefined)).toEqual(value)
  expect(project(7, undefined)).toBe(7)
  expect(project(7, ['a'])).toEqual({})
})

test('objects on both sides of sixteen members get the header that the encoder would write', () => {
  for (const count of [15, 16, 17, 200]) {
    const value = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`member-${i}`, i]))
    const names = Object.keys(value).slice(0, count)
    const { bytes, start, end } = stored(value)
    const out = new ByteWriter(1)
    compileProjection([...names, 'none', ...Array.from({ length: 20 }, (_, i) => `no-${i}`)]).project(
      bytes,
      start,
      end,
      out,
    )
    const wanted = stored(Object.fromEntries(names.map((name) => [name, value[name]])))
    expect(Buffer.from(out.take())).toEqual(wanted.bytes.subarray(wanted.start, wanted.end))
  }
})

test('a projection of bytes agrees with one of decoded values', () => {
  fc.assert(
    fc.property(object, fc.array(path, { maxLength: 5 }), (value, paths) => {
      expect(project(value, paths)).toEqual(projectNaively(value, paths))
    }),
    { numRuns: 3000 },
  )
})

test('bytes that are wrong leave the output as it was', () => {
  const projection = compileProjection(['a', 'b.c', 'a-name-longer-than-thirty-one-bytes'])
  fc.assert(
    fc.property(object, fc.nat(), fc.nat(255), fc.boolean(), (value, place, byte, cut) => {
      const { bytes, start, end } = stored(value)
      const at = start + (place % (end - start))
      bytes[at] = byte
      const out = new ByteWriter(1)
      out.u8(0x77)
      try {
        projection.project(bytes, start, cut ? at : end, out)
      } catch (error) {
        expect((error as GridError).code).toBe('MALFORMED')
        expect(error).toBeInstanceOf(GridError)
        expect(Buffer.from(out.take())).toEqual(Buffer.of(0x77))
      }
    }),
    { numRuns: 3000 },
  )
})
