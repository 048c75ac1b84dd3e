/**
 * Makes a bare clone ready to run: `node test/support/setup.mjs [--nats] [--redis] [--program NAME]…`.
 *
 * Checks the version of Node, installs the dependencies when they differ from package-lock.json, compiles what has
 * changed, and finds or installs nats-server (`--nats`: it must be there; otherwise its absence is only reported)
 * and redis-server (`--redis`, for the benchmarks). A program is a folder of test/ that is run by itself
 * (`--program sim`), and is compiled only where it is named. Speaks on standard error only. Plain JavaScript without a
 * dependency, because it runs before there are any.
 */

import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const MIN_NODE = [20, 19]

/** What is compiled, in order: a project, the folders whose change asks for it, and the folder it makes. */
const PROJECTS = [
  { name: 'src', sources: ['src'], output: 'dist' },
  { name: 'examples', sources: ['src', 'examples'], output: 'build/examples' },
  { name: 'bench', sources: ['src', 'bench'], output: 'build/bench' },
]

const wanted = process.argv.slice(2)
for (const [i, option] of wanted.entries())
  if (option === '--program')
    PROJECTS.push({
      name: `test/${wanted[i + 1]}`,
      sources: ['src', 'test'],
      output: `build/${wanted[i + 1]}`,
    })

const say = (text) => process.stderr.write(`setup: ${text}\n`)

function fail(text) {
  say(text)
  process.exit(1)
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2], ...options }).status === 0
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return
  fail(
    `Node.js ${MIN_NODE.join('.')} or newer is needed, this is ${process.versions.node}; install a newer one`,
  )
}

/** Whether every package of the lock file is installed in the version that it names. */
function dependenciesMatch() {
  const installedPath = join(ROOT, 'node_modules', '.package-lock.json')
  if (!existsSync(installedPath)) return false
  const wanted = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')).packages
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages
  return Object.entries(wanted).every(
    ([path, entry]) =>
      path === '' || entry.optional || entry.devOptional || installed[path]?.version === entry.version,
  )
}

function installDependencies() {
  if (dependenciesMatch()) return
  say('installing dependencies (npm install)')
  // Not `npm ci`: it refuses a lock file that was written where the builds for other platforms could not be had.
  if (!run('npm', ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']))
    fail('npm install failed; see above. Network access to a package registry is needed')
}

function newestChange(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestChange(join(path, name))))
}

function compile() {
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc')
  for (const { name, sources, output } of PROJECTS) {
    if (!existsSync(join(ROOT, name, 'tsconfig.json'))) continue
    const stamp = join(ROOT, 'build', `${name.replace('/', '-')}.stamp`)
    const inputs = [...sources, 'package-lock.json'].map((path) => newestChange(join(ROOT, path)))
    const started = Date.now()
    const done = existsSync(stamp) && existsSync(join(ROOT, output)) ? Number(readFileSync(stamp, 'utf8')) : 0
    if (done > Math.max(...inputs)) continue
    say(`compiling ${name}`)
    if (!run(process.execPath, [tsc, '-p', name])) fail(`${name} does not compile; see above`)
    mkdirSync(join(ROOT, 'build'), { recursive: true })
    writeFileSync(stamp, String(started))
  }
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Debian puts servers into sbin folders, which only root has on its PATH. */
function onPath(command) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/local/sbin', '/usr/sbin']
  return folders.some((folder) => folder !== '' && executable(join(folder, command)))
}

function installWithApt(name) {
  if (process.getuid?.() !== 0 || !onPath('apt-get')) return false
  say(`installing ${name} (apt-get)`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = () => run('apt-get', ['install', '-y', '-q', '--no-install-recommends', name], { env })
  return (install() || (run('apt-get', ['update', '-q'], { env }) && install())) && onPath(name)
}

function provide(name, variable, required) {
  const given = process.env[variable]
  if (given) {
    if (executable(given)) return
    fail(`${variable} is ${given}, which is no executable file`)
  }
  if (onPath(name) || installWithApt(name)) return
  const help = `${name} is not installed. Install it (Debian: apt-get install ${name}) or set ${variable} to its path`
  if (required) fail(help)
  say(help)
}

checkNode()
installDependencies()
compile()
provide('nats-server', 'NATS_SERVER_BIN', wanted.includes('--nats'))
if (wanted.includes('--redis')) provide('redis-server', 'REDIS_SERVER_BIN', true)
