/**
 * `npm run fuzz`: every decoder that bytes from outside reach, one after the other.
 *
 * Ends with 1 when something was found. What it prints of a finding is all that found.test.ts needs to keep it.
 */

import { readArguments } from '../support/arguments.ts'
import { bufferGuard, Campaign, type Finding, type Report } from './campaign.ts'
import type { Decoder } from './decoder.ts'
import { decoders } from './decoders.ts'

const HELP = `npm run fuzz -- [options]

  --minutes N   how long in all (1; without a bound where --inputs is given)
  --inputs N    at most so many inputs for each decoder
  --seed N      another campaign (1)
  --only NAME   this decoder, or all whose names begin so
  --from I      one decoder (--only): makes input number I again, shows it and what becomes of it
  --json        the figures as JSON
  --help        this
`

const values = readArguments(HELP, {
  minutes: { type: 'string' },
  inputs: { type: 'string' },
  seed: { type: 'string', default: '1' },
  only: { type: 'string', default: '' },
  from: { type: 'string' },
  json: { type: 'boolean', default: false },
})

function count(name: 'minutes' | 'inputs' | 'seed' | 'from', otherwise: number): number {
  const number = Number(values[name] ?? otherwise)
  if (Number.isNaN(number) || number < 0) throw new Error(`--${name} is a number, not ${values[name]}`)
  return number
}

const seed = count('seed', 1)
const inputs = count('inputs', Number.POSITIVE_INFINITY)
const minutes = count('minutes', values.inputs === undefined ? 1 : Number.POSITIVE_INFINITY)
const exact = decoders.filter(({ name }) => name === values.only)
const chosen = exact.length > 0 ? exact : decoders.filter(({ name }) => name.startsWith(values.only))
if (chosen.length === 0) throw new Error(`no decoder begins with ${values.only}: ${names(decoders)}`)

// Errors are made by the million here, and nobody reads where.
Error.stackTraceLimit = 0
bufferGuard.install()
if (values.from === undefined) await run()
else replay(count('from', 0))

async function run(): Promise<void> {
  const reports: Report[] = []
  const weights = chosen.reduce((sum, { weight = 1 }) => sum + weight, 0)
  if (!values.json) console.log(row(['decoder', 'inputs', 'accepted', 'B each', 'inputs/s', 'findings']))
  for (const decoder of chosen) {
    const endMs = performance.now() + (minutes * 60_000 * (decoder.weight ?? 1)) / weights
    const campaign = new Campaign(decoder, seed)
    for (let at = 0; at < inputs && performance.now() < endMs; ) {
      const count = Math.min(campaign.batchInputs, inputs - at)
      campaign.batch(at, count)
      at += count
      // Some of what is fuzzed leaves work for later turns.
      await new Promise((resolve) => setImmediate(resolve))
    }
    decoder.close?.()
    reports.push(campaign.report)
    if (!values.json) show(campaign.report)
  }
  const found = reports.reduce((sum, { findings }) => sum + findings.length, 0)
  if (values.json) console.log(JSON.stringify({ seed, reports: reports.map(plain), found }, null, 2))
  else console.log(`\nseed ${seed}, ${reports.length} decoders, ${total(reports)} inputs, ${found} findings`)
  process.exitCode = found === 0 ? 0 : 1
}

function total(reports: readonly Report[]): string {
  return reports.reduce((sum, report) => sum + report.inputs, 0).toLocaleString('en')
}

function show({ decoder, inputs, accepted, bytes, seconds, findings }: Report): void {
  const share = `${((100 * accepted) / inputs).toFixed(1)} %`
  const speed = Math.round(inputs / seconds).toLocaleString('en')
  const size = (bytes / inputs).toFixed(0)
  console.log(row([decoder, inputs.toLocaleString('en'), share, size, speed, String(findings.length)]))
  for (const finding of findings) console.log(text(finding))
}

function row(cells: readonly string[]): string {
  return cells.map((cell, i) => (i === 0 ? cell.padEnd(28) : cell.padStart(13))).join('')
}

function text({ decoder, index, what, input, count }: Finding): string {
  const bytes = Buffer.from(input)
  const hex = bytes.length <= 256 ? bytes.toString('hex') : `${bytes.subarray(0, 256).toString('hex')}…`
  const again = `--seed ${seed} --only ${decoder} --from ${index}`
  return `  ! ${what}\n    ${count} times, first: ${again}\n    ${bytes.length} bytes: ${hex}`
}

function plain(report: Report): unknown {
  const perSecond = Math.round(report.inputs / report.seconds)
  const findings = report.findings.map((finding) => ({
    ...finding,
    input: Buffer.from(finding.input).toString('hex'),
  }))
  return { ...report, perSecond, acceptedShare: report.accepted / report.inputs, findings }
}

function names(list: readonly Decoder[]): string {
  return list.map(({ name }) => name).join(', ')
}

/** One input, and, where there is a state, the ones of its batch before it. */
function replay(index: number): void {
  const decoder = chosen[0]!
  const campaign = new Campaign(decoder, seed)
  const bytes = Buffer.from(campaign.input(index))
  console.log(
    `${decoder.name}, seed ${seed}, input ${index}: ${bytes.length} bytes\n${bytes.toString('hex')}`,
  )
  const from = decoder.reset === undefined ? index : index - (index % campaign.batchInputs)
  Error.stackTraceLimit = 30
  campaign.batch(from, index - from + 1)
  const { findings, accepted } = campaign.report
  for (const finding of findings) console.log(text(finding))
  if (findings.length === 0) console.log(accepted > 0 ? 'accepted' : 'refused')
}
