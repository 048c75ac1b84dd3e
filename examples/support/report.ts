/** What people see while an example works and when it is done: a progress bar, and percentiles of what was timed. */

const BAR = 30

/** Draws a bar on standard error, or a line now and then where that is no terminal. */
export class Progress {
  private readonly total: number
  private readonly startedMs = performance.now()
  private drawnMs = 0

  constructor(total: number) {
    this.total = total
  }

  update(done: number, note: string): void {
    const nowMs = performance.now()
    const every = process.stderr.isTTY ? 100 : 5000
    if (nowMs - this.drawnMs < every && done < this.total) return
    this.drawnMs = nowMs
    const share = done / this.total
    const bar = '█'.repeat(Math.round(share * BAR)).padEnd(BAR, '░')
    const rate = Math.round((done / (nowMs - this.startedMs)) * 1000)
    const line = `${bar} ${(share * 100).toFixed(0).padStart(3)} %  ${rate}/s  ${note}`
    process.stderr.write(
      process.stderr.isTTY ? `\r\x1b[K${line}${done === this.total ? '\n' : ''}` : `${line}\n`,
    )
  }

  /** Writes a line that stays, above the bar. */
  say(text: string): void {
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`)
    this.drawnMs = 0
  }
}

/** Times of one kind of work, in milliseconds. */
export class Latencies {
  private readonly times: number[] = []

  async time<T>(work: () => Promise<T>): Promise<T> {
    const startMs = performance.now()
    const result = await work()
    this.times.push(performance.now() - startMs)
    return result
  }

  add(timeMs: number): void {
    this.times.push(timeMs)
  }

  get count(): number {
    return this.times.length
  }

  percentile(share: number): number {
    const sorted = Float64Array.from(this.times).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
  }

  toString(): string {
    if (this.count === 0) return 'none'
    const show = (share: number): string => `${this.percentile(share).toFixed(2)} ms`
    return `${this.count} times  p50 ${show(0.5)}  p99 ${show(0.99)}  p99.9 ${show(0.999)}  max ${show(1)}`
  }
}
