/** The network namespaces of a machine's running containers, as this process can enter them. */
import type { Machine } from './machine.ts';
import type { Place } from './ping.ts';

export interface Sandbox extends Place {
  /** Name of the container. */
  readonly name: string;
  /** Holds until the machine's power is cut. */
  readonly path: string;
}

/** All of them, by the name of the container. */
export async function sandboxesOf(machine: Machine): Promise<Map<string, Sandbox>> {
  const format = '{{.Name}} {{.NetworkSettings.SandboxKey}}';
  const text = await machine.sh(`ids=$(docker ps -q); [ -z "$ids" ] || docker inspect -f '${format}' $ids`);
  const found = new Map<string, Sandbox>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [slashed = '', key = ''] = line.split(' ');
    // /var/run is an absolute symbolic link: through /proc/PID/root it would lead to this system's own /run
    const path = await machine.path(key.replace(/^\/var\/run\//, '/run/'));
    const name = slashed.slice(1);
    found.set(name, { name, path, command: (command) => ['nsenter', `--net=${path}`, ...command] });
  }
  return found;
}

/** @throws if it does not run */
export async function sandboxOf(machine: Machine, name: string): Promise<Sandbox> {
  const found = (await sandboxesOf(machine)).get(name);
  if (found === undefined) throw new Error(`${machine.name} runs no container ${name}`);
  return found;
}
