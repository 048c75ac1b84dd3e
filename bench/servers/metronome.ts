/** A thread that does nothing but tell the main thread when a step is due: `workerData` is its length in milliseconds. */

import { parentPort, workerData } from 'node:worker_threads'

const stepMs = workerData as number
const nothing = new Int32Array(new SharedArrayBuffer(4))
const startMs = performance.now()
for (let step = 1; ; step++) {
  // Sleeps with the precision of the system, which timers of an event loop do not have.
  Atomics.wait(nothing, 0, 0, Math.max(0, startMs + step * stepMs - performance.now()))
  parentPort!.postMessage(0)
}
