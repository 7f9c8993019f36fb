/** Network namespaces of a test: made with iproute2, torn down whatever happened. */
import { execFileSync } from 'node:child_process';
import { randomId } from '../../core/ids.ts';

/** What `ip -d -j link` says of one link; only what tests look at. */
export interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly link?: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address: string;
  readonly ifalias?: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: { readonly mode?: string } };
}

export class TestNamespace {
  readonly name = `lnt-${randomId(4)}`;
  readonly path = `/run/netns/${this.name}`;
  #removed = false;

  constructor() {
    run('netns', 'add', this.name);
  }

  /** `ip -n NAME …` */
  ip(...words: readonly string[]): string {
    return run('-n', this.name, ...words);
  }

  /** A pair of links, both up, in place of a NIC and its cable. */
  addUplink(name: string, farEnd: string): void {
    this.ip('link', 'add', name, 'type', 'veth', 'peer', 'name', farEnd);
    this.ip('link', 'set', name, 'up');
    this.ip('link', 'set', farEnd, 'up');
  }

  links(): IpLink[] {
    return JSON.parse(this.ip('-d', '-j', 'link')) as IpLink[];
  }

  link(name: string): IpLink | undefined {
    return this.links().find(({ ifname }) => ifname === name);
  }

  /** Idempotent. */
  remove(): void {
    if (this.#removed) return;
    this.#removed = true;
    run('netns', 'del', this.name);
  }
}

function run(...words: readonly string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
