/**
 * An entry processor: rolling statistics of one airport's departures.
 *
 * Members load this module (`actorgrid start --modules ./airport-statistics.js`) and run the function beside the
 * data; programs import it for its types. Sums are whole numbers and the order of calls does not matter, so the
 * outcome can be compared exactly with a computation elsewhere.
 */

import { defineProcessor, type EntryView } from 'actorgrid'

/** How many of the latest departures are kept. */
export const RECENT = 10

export interface Departure {
  /** Place in the file: later flights have higher numbers. */
  readonly number: number
  /** Minutes; early departures count below zero. */
  readonly delay: number
  /** Miles. */
  readonly distance: number
}

export interface Airport {
  readonly name: string
  readonly city: string
  readonly departures: number
  readonly delaySum: number
  readonly delayMax: number
  readonly delayMean: number
  readonly distanceSum: number
  /** The latest departures, newest first. */
  readonly recent: readonly { readonly number: number; readonly delay: number }[]
}

export function newAirport(name: string, city: string): Airport {
  return { name, city, departures: 0, delaySum: 0, delayMax: 0, delayMean: 0, distanceSum: 0, recent: [] }
}

/** The airport after one more departure. */
export function withDeparture(airport: Airport, { number, delay, distance }: Departure): Airport {
  const departures = airport.departures + 1
  const delaySum = airport.delaySum + delay
  const recent = [...airport.recent, { number, delay }].sort((a, b) => b.number - a.number).slice(0, RECENT)
  return {
    ...airport,
    departures,
    delaySum,
    delayMax: departures === 1 ? delay : Math.max(airport.delayMax, delay),
    delayMean: delaySum / departures,
    distanceSum: airport.distanceSum + distance,
    recent,
  }
}

/** Counts a departure and returns how many there are now. */
export const recordDeparture = defineProcessor(
  'record-departure',
  (entry: EntryView<string, Airport>, departure: Departure): number => {
    if (entry.value === undefined) throw new Error(`no airport ${entry.key}`)
    const airport = withDeparture(entry.value, departure)
    entry.set(airport)
    return airport.departures
  },
)
