/** Many sandboxes with a macvlan link each, as fast as iproute2 makes them; without addresses but for the first. */
import { execFileSync } from 'node:child_process';
import type { HostShapedEndpoint, ShapePlace } from '../net/shaping-port.ts';
import type { ShapedHost } from '../test/netns/shaped-host.ts';

type Place = Extract<ShapePlace, { at: 'sandbox' }>;

export class Fleet {
  readonly places: readonly Place[];
  readonly #names: readonly string[];

  constructor(host: ShapedHost, count: number) {
    this.#names = Array.from({ length: count }, (_, number) => `fleet-${number}`);
    batch(
      [],
      this.#names.map((name) => `netns add ${name}`),
    );
    batch(
      ['-n', host.home.name],
      this.#names.map(
        (name, number) =>
          `link add link up0 name eth0 address ${macOf(number)} netns ${name} type macvlan mode private`,
      ),
    );
    batch(
      [],
      this.#names.map((name) => `netns exec ${name} ip link set eth0 up`),
    );
    this.places = this.#names.map((name) => {
      const said = execFileSync('ip', ['-n', name, '-o', 'link', 'show', 'eth0'], { encoding: 'utf8' });
      return { at: 'sandbox', namespacePath: `/run/netns/${name}`, linkIndex: Number.parseInt(said, 10) };
    });
  }

  /** For the host's side. */
  endpoints(plan: HostShapedEndpoint['plan']): HostShapedEndpoint[] {
    return this.places.map((_, number) => ({
      endpointId: `f${number.toString(16).padStart(63, '0')}`,
      macAddress: macOf(number),
      plan,
    }));
  }

  remove(): void {
    batch(
      [],
      this.#names.map((name) => `netns del ${name}`),
    );
  }
}

function macOf(number: number): string {
  const hex = (byte: number): string => byte.toString(16).padStart(2, '0');
  return `02:4c:0a:50:${hex(number >> 8)}:${hex(number & 255)}`;
}

function batch(words: readonly string[], lines: readonly string[]): void {
  execFileSync('ip', [...words, '-batch', '-'], {
    input: `${lines.join('\n')}\n`,
    stdio: ['pipe', 'ignore', 'inherit'],
  });
}
