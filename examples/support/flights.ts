/** The flights of the package `vega-datasets`, and the plain computation that the grid's answers must equal. */

import { readFileSync } from 'node:fs'
import { type Airport, type Departure, newAirport, withDeparture } from '../airport-statistics.js'

export interface Flight {
  readonly delay: number
  readonly distance: number
  /** IATA code; only the records of the smaller file have one. */
  readonly origin?: string
  readonly destination?: string
  readonly date?: string
  /** Hour of the day. */
  readonly time?: number
}

/** Both files as one stream: the departures with an origin are spread evenly among the others. */
export function readFlights(): Flight[] {
  const many = readJson('flights-200k.json')
  const named = readJson('flights-20k.json')
  const every = Math.floor(many.length / named.length)
  return many.flatMap((flight, i) => {
    const extra = i % every === 0 ? named[i / every] : undefined
    return extra === undefined ? [flight] : [flight, extra]
  })
}

function readJson(file: string): Flight[] {
  return JSON.parse(readData(file)) as Flight[]
}

/** Airports by IATA code, without departures yet. */
export function readAirports(): Map<string, Airport> {
  const rows = readData('airports.csv').trim().split('\n').slice(1).map(splitCsv)
  return new Map(rows.map(([iata = '', name = '', city = '']) => [iata, newAirport(name, city)]))
}

export function departureOf(flight: Flight, number: number): Departure {
  return { number, delay: flight.delay, distance: flight.distance }
}

export interface Expected {
  readonly airports: ReadonlyMap<string, Airport>
  readonly flights: number
  readonly delaySum: number
}

/** The same statistics in one process, one flight after the other. */
export function computePlainly(flights: readonly Flight[], airports: ReadonlyMap<string, Airport>): Expected {
  const result = new Map(airports)
  let delaySum = 0
  for (const [number, flight] of flights.entries()) {
    delaySum += flight.delay
    if (flight.origin === undefined) continue
    const airport = result.get(flight.origin) ?? newAirport(flight.origin, '')
    result.set(flight.origin, withDeparture(airport, departureOf(flight, number)))
  }
  return { airports: result, flights: flights.length, delaySum }
}

function readData(file: string): string {
  return readFileSync(new URL(`../data/${file}`, import.meta.resolve('vega-datasets')), 'utf8')
}

/** A line of comma-separated values; fields with commas stand in double quotes. */
function splitCsv(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  )
}
