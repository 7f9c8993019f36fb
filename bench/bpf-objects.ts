/**
 * What BPF maps and programs of traffic control the kernel has, and what each has charged.
 * @see bpf(2), linux/bpf.h BPF_MAP_GET_NEXT_ID, BPF_MAP_GET_FD_BY_ID; proc_pid_fdinfo(5)
 */
import { readFileSync } from 'node:fs';
import { ENOENT } from '../net/rtnetlink/errno.ts';
import { bpf, close } from '../net/rtnetlink/libc.ts';

export interface BpfObject {
  readonly kind: 'map' | 'program';
  readonly id: number;
  readonly bytes: number;
}

const COMMANDS = {
  program: { next: 11, open: 13 },
  map: { next: 12, open: 14 },
} as const;

/** Programs of other types, such as the device rules of cgroups, come with each container whatever the network is. */
const TRAFFIC_CONTROL = '3';

/** Maps and traffic control programs of the machine, in all its namespaces; needs CAP_SYS_ADMIN. */
export function bpfObjects(): BpfObject[] {
  return [...objectsOf('map'), ...objectsOf('program')];
}

function* objectsOf(kind: BpfObject['kind']): Generator<BpfObject> {
  const { next, open } = COMMANDS[kind];
  for (let id = 0; ; ) {
    const attributes = Buffer.alloc(16);
    attributes.writeUInt32LE(id, 0);
    if (bpf(next, attributes, [], `find the next BPF ${kind}`, ENOENT) < 0) return;
    id = attributes.readUInt32LE(4);
    const wanted = Buffer.alloc(16);
    wanted.writeUInt32LE(id, 0);
    const fd = bpf(open, wanted, [], `open BPF ${kind} ${id}`, ENOENT);
    if (fd < 0) continue; // it has gone meanwhile
    try {
      const about = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
      if (kind === 'program' && word(about, 'prog_type') !== TRAFFIC_CONTROL) continue;
      yield { kind, id, bytes: Number(word(about, 'memlock')) };
    } finally {
      close(fd);
    }
  }
}

function word(about: string, name: string): string | undefined {
  return new RegExp(`^${name}:\\s+(\\S+)$`, 'm').exec(about)?.[1];
}
