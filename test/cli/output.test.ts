import { describe, expect, test } from 'vitest'
import { describeFailure } from '../../src/cli/failure.ts'
import { jsonText, tableText } from '../../src/cli/output.ts'
import { GridError } from '../../src/core/base/errors.ts'

test('JSON holds what JSON has no form for', () => {
  const value = {
    big: 12345678901234567890n,
    bytes: new Uint8Array([1, 2, 3]),
    at: new Date(0),
    nested: [1n],
  }
  expect(JSON.parse(jsonText(value))).toEqual({
    big: '12345678901234567890',
    bytes: 'AQID',
    at: '1970-01-01T00:00:00.000Z',
    nested: ['1'],
  })
})

test('tables align their columns and end lines without spaces', () => {
  expect(
    tableText(
      ['A', 'LONG'],
      [
        ['aaa', 1],
        [undefined, 'x'],
      ],
    ),
  ).toBe('A    LONG\naaa  1\n     x')
})

describe('failures', () => {
  test('say what happened, what to do and whether it took effect', () => {
    const { text, exitCode } = describeFailure(new GridError('TIMEOUT', 'put took too long'))
    expect(exitCode).toBe(1)
    expect(text).toMatch(/^TIMEOUT: put took too long\n.*\nWhether it took effect is not known\.$/)
  })

  test('wrong use has exit code 2', () => {
    expect(describeFailure(new GridError('BAD_OPTION', 'x')).exitCode).toBe(2)
    expect(describeFailure(new GridError('BAD_FILTER', 'x')).exitCode).toBe(2)
    expect(describeFailure(new Error('x')).exitCode).toBe(1)
  })
})
