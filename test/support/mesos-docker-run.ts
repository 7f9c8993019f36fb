/**
 * The command line that a Mesos agent's docker executor runs for an app of Marathon, word for word: the app's JSON, as
 * Marathon turns it into a task, as Mesos turns that into options of docker.
 *
 * Sources:
 * - mesosphere/marathon 90619da70d79 (1.11 in the making): src/main/scala/mesosphere/mesos/TaskBuilder.scala
 *   (`commandInfo`, `taskContextEnv`, `computeContainerInfo`), EnvironmentHelper.scala (`portsEnv`, `labelsToEnvVars`),
 *   src/main/scala/mesosphere/marathon/api/serialization/ContainerSerializer.scala (`DockerSerializer.toMesos`)
 * - apache/mesos 1.11.0 and c1b42f79d157 (later): src/docker/docker.cpp (`Docker::RunOptions::create`, `Docker::run`),
 *   src/docker/executor.cpp (`launchTask`), src/slave/containerizer/docker.hpp (name), src/slave/flags.cpp (socket, sandbox)
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkoutFolder } from './checkout.ts';

/** Since commit b6750fe61 a parameter `net` is the network; before, it is one more option behind the network. */
export type MesosVersion = '1.11.0' | 'later';

interface PortMapping {
  readonly containerPort: number;
  readonly name?: string;
}

/** What of an app's definition is used in examples/marathon. */
export interface MarathonApp {
  readonly id: string;
  readonly cmd: string;
  readonly cpus: number;
  readonly mem: number;
  readonly instances: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly container: {
    readonly type: 'DOCKER';
    readonly docker: {
      readonly image: string;
      readonly parameters?: readonly { readonly key: string; readonly value: string }[];
    };
    readonly portMappings?: readonly PortMapping[];
  };
  readonly networks?: readonly { readonly mode: 'container' | 'host'; readonly name?: string }[];
  readonly constraints?: readonly (readonly string[])[];
}

export interface MesosTask {
  /** Of the container, a UUID; the container's name follows from it. */
  readonly containerId: string;
  /** Host name of the agent. */
  readonly host: string;
}

const MIN_CPU_SHARES = 2;
const MIN_MEMORY_BYTES = 32 << 20;
const SANDBOX = '/mnt/mesos/sandbox';

export function readApp(name: string): MarathonApp {
  return JSON.parse(
    readFileSync(join(checkoutFolder, 'examples/marathon', `${name}.json`), 'utf8'),
  ) as MarathonApp;
}

export function containerName({ containerId }: MesosTask): string {
  return `mesos-${containerId}`;
}

/** @returns argv, beginning with `docker` */
export function dockerRun(app: MarathonApp, task: MesosTask, version: MesosVersion): string[] {
  const name = containerName(task);
  const { network, more } = networkOf(app, version);
  const memory = Math.max(Math.trunc(app.mem) * 2 ** 20, MIN_MEMORY_BYTES);
  const shares = Math.max(Math.trunc(1024 * app.cpus), MIN_CPU_SHARES);
  const env: Record<string, string> = {
    ...marathonEnv(app, task),
    MESOS_SANDBOX: SANDBOX,
    MESOS_CONTAINER_NAME: name,
    MESOS_ALLOCATION_ROLE: '*',
  };
  return [
    ...['docker', '-H', 'unix:///var/run/docker.sock', 'run'],
    ...['--cpu-shares', String(shares), '--memory', String(memory)],
    // A std::map, so in order.
    ...Object.keys(env)
      .toSorted()
      .flatMap((key) => ['-e', `${key}=${env[key]}`]),
    ...['-v', `${sandboxOf(app, task)}:${SANDBOX}`],
    ...['--net', network],
    // Marathon always gives a shell command; ports of the container alone are not published.
    ...['--entrypoint', '/bin/sh'],
    ...['--name', name],
    ...more.map(({ key, value }) => `--${key}=${value}`),
    app.container.docker.image,
    ...['-c', app.cmd],
  ];
}

/** Marathon adds the label, as the last parameter. */
function networkOf(app: MarathonApp, version: MesosVersion) {
  const [given] = app.networks ?? [];
  const inner = given?.mode === 'container' ? given.name : 'host';
  if (inner === undefined) throw new Error(`${app.id}: a network of mode container needs a name`);
  const parameters = [
    ...(app.container.docker.parameters ?? []),
    { key: 'label', value: `MESOS_TASK_ID=${taskId(app)}` },
  ];
  const first = parameters.findIndex(({ key }) => key === 'net' || key === 'network');
  const chosen = parameters[first];
  if (chosen === undefined || version === '1.11.0') return { network: inner, more: parameters };
  return { network: chosen.value, more: parameters.filter((_, index) => index !== first) };
}

function marathonEnv(app: MarathonApp, { host }: MesosTask): Record<string, string> {
  return {
    MESOS_TASK_ID: taskId(app),
    MARATHON_APP_ID: app.id,
    MARATHON_APP_VERSION: '2026-11-30T00:00:00.000Z',
    MARATHON_APP_DOCKER_IMAGE: app.container.docker.image,
    MARATHON_APP_RESOURCE_CPUS: decimal(app.cpus),
    MARATHON_APP_RESOURCE_MEM: decimal(app.mem),
    MARATHON_APP_RESOURCE_DISK: '0.0',
    MARATHON_APP_RESOURCE_GPUS: '0',
    MARATHON_APP_ENFORCE_GROUP_ROLE: 'FALSE',
    ...labelsEnv(app.labels ?? {}),
    ...portsEnv(app.container.portMappings ?? []),
    HOST: host,
    ...app.env,
  };
}

function labelsEnv(labels: Readonly<Record<string, string>>): Record<string, string> {
  const escaped = Object.entries(labels).map(([key, value]) => [
    key.replace(/[^a-zA-Z0-9_]+/g, '_').toUpperCase(),
    value,
  ]);
  return {
    MARATHON_APP_LABELS: escaped.map(([key]) => key).join(' '),
    ...Object.fromEntries(escaped.map(([key, value]) => [`MARATHON_APP_LABEL_${key}`, value])),
  };
}

/** For mappings with a container port and no host port: there is no `PORT`, and `PORTS` is empty. */
function portsEnv(mappings: readonly PortMapping[]): Record<string, string> {
  if (mappings.length === 0) return {};
  const entries = mappings.flatMap(({ containerPort, name }, index) => [
    [`PORT${index}`, String(containerPort)],
    [`PORT_${containerPort}`, String(containerPort)],
    ...(name === undefined ? [] : [[`PORT_${name.toUpperCase()}`, String(containerPort)]]),
  ]);
  return { ...Object.fromEntries(entries), PORTS: '' };
}

function taskId({ id }: MarathonApp): string {
  return `${id.slice(1).replaceAll('/', '_')}.instance-6f1c9a52-0c1f-11f1-8b3e-000000000001._app.1`;
}

function sandboxOf(app: MarathonApp, { containerId }: MesosTask): string {
  const [agent, framework] = ['a7f0d2c4-0000-S1', 'a7f0d2c4-0001'];
  return `/var/lib/mesos/slaves/${agent}/frameworks/${framework}/executors/${taskId(app)}/runs/${containerId}`;
}

/** As Scala prints a Double. */
function decimal(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}
