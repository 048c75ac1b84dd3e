/** Valid filters, updates and queries that between them use every operator and every kind of operand. */

const NESTED = { $not: { $not: { $not: { $not: { temp: { $gt: 1 } } } } } }

export const FILTERS: readonly unknown[] = [
  {},
  { site: 'plant-3' },
  {
    site: 'plant-3',
    temp: { $gt: 70, $lte: 90 },
    $or: [{ 'at.zone': 'a' }, { at: { zone: { $in: ['b', 'c'] } } }],
  },
  { $and: [{ temp: { $gte: -1.5, $lt: 2n ** 80n } }, { n: { $ne: 5 } }] },
  { temp: { $eq: Number.NaN } },
  { tags: { $contains: 'hot' }, site: { $startsWith: 'plant' } },
  { tags: { $eq: ['hot', 'new'] }, at: { $eq: { floor: 2, zone: 'b' } } },
  { done: { $exists: true }, 'a.b.c': { $nin: [1, 'x', null, [1], { a: 1 }] } },
  { since: { $gt: new Date(1) }, raw: { $lte: Uint8Array.of(1, 3) } },
  { n: { $in: [5n, 2n ** 70n, -1, 0.5, Number.POSITIVE_INFINITY] } },
  { a: { $contains: { b: 2 } }, temp: { $not: { $gt: 5, $lt: 9 } } },
  NESTED,
  { at: { zone: { $not: { $startsWith: 'b' } }, floor: { $exists: false } } },
  { 'a.b.c.d.e': [{ f: 1 }] },
  { site: null, done: false },
]

export const UPDATES: readonly unknown[] = [
  { $set: { 'at.zone': 'b' }, $inc: { count: 1 }, $push: { tags: 'hot' } },
  { $set: { a: { b: { c: [1, 2, { d: null }] } } } },
  { $unset: { site: true, 'at.floor': 1, 'x.y.z': '' } },
  { $inc: { temp: 1.5, n: 2n } },
  { $mul: { temp: -2, n: 3n ** 40n } },
  { $min: { temp: 5, site: 'm', done: true, since: new Date(2), raw: Uint8Array.of(1) } },
  { $max: { temp: 2n ** 70n, 'at.floor': 3, 'new.path': 'x' } },
  { $push: { tags: { $each: ['a', 'b', { c: 1 }] }, list: [1] } },
  { $pull: { tags: 'hot', a: { b: 1 }, 'at.none': 5 } },
  { $set: { __proto: 1, toString: 'text', 'a.hasOwnProperty': 2 } },
  { $set: { 'a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p': 1 } },
]

export const QUERIES: readonly unknown[] = [
  {},
  { where: { temp: { $gt: 5 } }, select: ['site', 'at.zone'], orderBy: 'temp', limit: 10 },
  {
    orderBy: [
      ['temp', 'desc'],
      ['site', 'asc'],
      ['at.zone', 'desc'],
    ],
    limit: 3,
  },
  { select: [], limit: 0 },
  { select: ['a', 'a.b', 'a.b.c', 'member17', 'at', 'tags'] },
  { select: Array.from({ length: 18 }, (_, i) => `member${i}`), orderBy: [] },
  { where: { $or: [{ tags: 'hot' }, { a: { $exists: true } }] }, orderBy: 'a.b', limit: 1 },
  { where: { temp: { $lt: 2.5 } }, orderBy: 'temp', limit: 2 },
  { where: {}, select: ['a.b.c.d.e'], limit: 1e9 },
]
