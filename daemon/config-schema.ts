/**
 * Every setting there is: name, unit, default, meaning. docs/config.md, docs/config.schema.json, the flags of
 * `lanius daemon` and the LANIUS_… variables are all derived from this one schema.
 *
 * A setting that nothing reads yet has no place here.
 */
import { z } from 'zod';
import { cidrContains, cidrHas, cidrsOverlap, parseCidr, parseIp } from '../core/ip.ts';
import { throttle } from './config-throttle.ts';

const path = z.string().regex(/^\//, 'must be an absolute path');
const port = z.number().int().min(1).max(65535);
const milliseconds = z.number().int().min(100).max(60_000);
const seconds = z.number().int().min(1).max(86_400);
/** Meaning of a setting that `systemctl reload` takes over (daemon/reload.ts); all else waits for a restart. */
const live = (description: string) => ({ description, reload: true });
/** A part of a key in etcd, so without `/`. */
const keyPart = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/, 'may hold letters, digits, dots, dashes and underscores');

/** `name`, `container` and `select` are words of a range beside its labels. */
const labelKey = z
  .string()
  .regex(
    /^(?!(name|container|select)$)[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'may hold letters, digits, dots, dashes and underscores, and must not be name, container or select',
  );

const host = z.strictObject({
  name: keyPart
    .exactOptional()
    .describe(
      'Name of this host in etcd; default: the hostname. It must be unique among all hosts that share the etcd, ' +
        'and must not change while the host holds addresses.',
    ),
  labels: z
    .record(
      labelKey,
      z.string().regex(/^[A-Za-z0-9._-]{1,63}$/, 'may hold letters, digits, dots, dashes and underscores'),
    )
    .default({})
    .describe(
      'What this host is, for the selectors of pools and ranges, e.g. {"rack":"r1"}. As a variable or flag: JSON, or ' +
        'rack=r1,zone=b.',
    ),
});

const docker = z.strictObject({
  socket: path.default('/var/run/docker.sock').describe('Socket of the Docker Engine API.'),
  pluginSocket: path
    .default('/run/docker/plugins/lanius.sock')
    .describe(
      'Socket on which the engine finds the plugin; its name without `.sock` must be the driver name.',
    ),
  driverName: keyPart
    .default('lanius')
    .describe('Name for `docker network create -d NAME --ipam-driver NAME`.'),
});

const etcd = z.strictObject({
  hosts: z
    .array(z.string().regex(/^https?:\/\/[^/\s]+$/, 'must be a URL like http://10.0.0.2:2379'))
    .default([])
    .describe('URLs of the etcd cluster. Empty: the daemon runs an etcd of its own, for this host alone.'),
  prefix: z
    .string()
    .regex(/^\/.*\/$/, 'must begin and end with "/"')
    .default('/lanius/v1/')
    .describe('All keys begin with this.'),
  timeoutMs: milliseconds.default(1500).describe('Longest wait for one answer of etcd.'),
  tls: z
    .strictObject({
      caFile: path.exactOptional().describe('Certificate authority of the cluster (PEM).'),
      certFile: path.exactOptional().describe('Certificate of this client (PEM); needs keyFile.'),
      keyFile: path.exactOptional().describe('Private key of this client (PEM); needs certFile.'),
    })
    .refine((tls) => (tls.certFile === undefined) === (tls.keyFile === undefined), {
      message: 'certFile and keyFile go together',
    })
    .prefault({})
    .describe('For https hosts.'),
  auth: z
    .strictObject({
      username: z.string().min(1).exactOptional().describe('User of etcd; needs passwordFile.'),
      passwordFile: path
        .exactOptional()
        .describe('File that holds the password and nothing else; a line feed at its end is ignored.'),
    })
    .refine((auth) => (auth.username === undefined) === (auth.passwordFile === undefined), {
      message: 'username and passwordFile go together',
    })
    .prefault({})
    .describe('For clusters with authentication.'),
  embedded: z
    .strictObject({
      clientPort: port.default(23790).describe('Port on 127.0.0.1 for clients.'),
      peerPort: port.default(23800).describe('Port on 127.0.0.1 for peers, of which there are none.'),
      program: z.string().min(1).default('etcd').describe('Program, found through PATH, or its full path.'),
    })
    .prefault({})
    .describe('The etcd that the daemon runs itself while `etcd.hosts` is empty.'),
});

const net = z.strictObject({
  parent: z
    .string()
    .regex(/^[^\s/]{1,15}$/, 'must be the name of a link, at most 15 characters')
    .exactOptional()
    .describe('Parent link of networks that are created without `-o parent=`.'),
  macPrefix: z
    .string()
    .toLowerCase()
    .regex(/^[0-9a-f][26ae]:[0-9a-f]{2}$/, 'must be two bytes of a locally administered address, like 02:4c')
    .default('02:4c')
    .describe('First two bytes of every MAC address; the other four are the IPv4 address.'),
  tuneNeighbourTable: z
    .boolean()
    .default(false)
    .describe(
      "Raise the kernel's limits of learned neighbours (net.ipv4.neigh.default.gc_thresh1..3) at the start, for the " +
        'whole host; they are never lowered. Without it, `lanius doctor` says when they are too low.',
    ),
});

const pool = z
  .strictObject({
    name: keyPart.describe('Name for `--ipam-opt pool=NAME`.'),
    subnet: parsed(parseCidr).describe('Subnet, e.g. 10.77.0.0/16.'),
    range: parsed(parseCidr)
      .exactOptional()
      .describe('Addresses are taken from this part of the subnet only.'),
    gateway: parsed(parseIp).exactOptional().describe('The real router, given to containers as gateway.'),
  })
  .check(({ value, issues }) => {
    const subnet = attempt(parseCidr, value.subnet);
    const range = value.range === undefined ? undefined : attempt(parseCidr, value.range);
    const gateway = value.gateway === undefined ? undefined : attempt(parseIp, value.gateway);
    if (subnet === undefined) return;
    const outside = (key: string): void => {
      issues.push({ code: 'custom', input: value, path: [key], message: `is outside ${value.subnet}` });
    };
    if (range !== undefined && !cidrContains(subnet, range)) outside('range');
    if (gateway !== undefined && !cidrHas(subnet, gateway)) outside('gateway');
  });

const ipam = z
  .strictObject({
    pools: z.array(pool).default([]).describe('Pools that networks can use without naming a subnet.'),
    defaultPool: keyPart
      .exactOptional()
      .describe(
        'Pool of networks that name neither subnet nor pool; default: the only one, if there is one.',
      ),
    coolingSeconds: z
      .number()
      .int()
      .min(0)
      .max(604_800)
      .default(30)
      .meta(
        live(
          'How long a released address rests before another container gets it, where the pool says nothing. Where no other ' +
            'address is free it is given out earlier.',
        ),
      ),
    warmStock: z
      .number()
      .int()
      .min(0)
      .max(256)
      .default(0)
      .describe(
        'Addresses of each pool in use here that this host leases ahead, so that a container is given one from memory, ' +
          'also while etcd is away. At most a tenth of what is free; given back when the pool is short. 0: none.',
      ),
    warmIdleSeconds: seconds
      .default(600)
      .describe('The stock of a pool is given back when no container asked for this long.'),
  })
  .check(({ value, issues }) => {
    const complain = (where: PropertyKey[], message: string): void => {
      issues.push({ code: 'custom', input: value, path: where, message });
    };
    const names = value.pools.map(({ name }) => name);
    if (value.defaultPool !== undefined && !names.includes(value.defaultPool)) {
      complain(
        ['defaultPool'],
        `"${value.defaultPool}" is not one of the pools (${names.join(', ') || 'none'})`,
      );
    }
    value.pools.forEach(({ name, subnet }, index) => {
      if (names.indexOf(name) < index) complain(['pools', index, 'name'], `"${name}" is there twice`);
      const other = value.pools
        .slice(0, index)
        .find((earlier) => overlap(attempt(parseCidr, earlier.subnet), attempt(parseCidr, subnet)));
      if (other !== undefined) complain(['pools', index, 'subnet'], `overlaps the pool "${other.name}"`);
    });
  });

const reconcile = z.strictObject({
  intervalSeconds: seconds
    .default(60)
    .meta(live('Time between two comparisons of leases, engine and kernel.')),
  lookGapSeconds: seconds
    .default(2)
    .meta(live('Time between the two looks that must agree before anything is freed.')),
  pendingGraceSeconds: seconds
    .default(60)
    .meta(live('An address that was asked for but is not seen in use is kept at least this long.')),
  deadHostGraceSeconds: z
    .number()
    .int()
    .min(0)
    .max(31_536_000)
    .default(0)
    .describe(
      'When the daemon of a host has been dead for this long, the addresses of that host are freed. 0: never, and ' +
        'that is the safe choice, for containers go on without the daemon and would share their addresses with ' +
        'others. Set it only where a host without a daemon is surely off, above the longest time that etcd or ' +
        'the network may be away, and the same on all hosts.',
    ),
});

const limits = z.strictObject({
  handlerTimeoutMs: milliseconds.default(4000).meta(live('Longest time for one call of the engine.')),
  linkTimeoutMs: milliseconds
    .default(30_000)
    .meta(
      live('The same for calls that make a link: the kernel does that one at a time for the whole host.'),
    ),
  drainTimeoutMs: milliseconds
    .default(5000)
    .meta(live('Longest wait for calls under way when the daemon stops.')),
});

const log = z.strictObject({
  level: z
    .enum(['error', 'warn', 'info', 'debug'])
    .default('info')
    .meta(live('Least level that is written.')),
});

const admin = z.strictObject({
  socket: path
    .default('/run/lanius/admin.sock')
    .describe('Socket for the `lanius` commands, which look for it here; root only.'),
});

const state = z.strictObject({
  dir: path.default('/var/lib/lanius').describe("The host's own records, and the data of the embedded etcd."),
});

const session = z.strictObject({
  ttlSeconds: z
    .number()
    .int()
    .min(5)
    .max(600)
    .default(15)
    .describe('A host counts as alive this long after its last sign. No address depends on it.'),
});

export const configSchema = z.strictObject({
  host: host.prefault({}).describe('This host.'),
  docker: docker.prefault({}).describe('The Docker engine of this host.'),
  etcd: etcd.prefault({}).describe('Where the leases are.'),
  net: net.prefault({}).describe('Links.'),
  ipam: ipam.prefault({}).describe('Addresses.'),
  throttle: throttle.prefault({}).describe('Bandwidth limits.'),
  reconcile: reconcile.prefault({}).describe('Finding and freeing what a crash left behind.'),
  limits: limits.prefault({}).describe('Time limits.'),
  log: log.prefault({}).describe('Logs: in the journal under systemd, else JSON lines on stdout.'),
  admin: admin.prefault({}).describe('The way in for operators.'),
  state: state.prefault({}).describe("The host's own disk."),
  session: session.prefault({}).describe("The host's sign of life in etcd."),
});

type Parsed = z.infer<typeof configSchema>;
/** The settings in force, every default filled in. */
export type Config = Omit<Parsed, 'host'> & { readonly host: Parsed['host'] & { readonly name: string } };

/** A text that `parse` takes; its complaint is the message. */
function parsed(parse: (text: string) => unknown): z.ZodString {
  return z.string().check(({ value, issues }) => {
    try {
      parse(value);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      issues.push({ code: 'custom', input: value, message });
    }
  });
}

function attempt<T>(parse: (text: string) => T, text: string): T | undefined {
  try {
    return parse(text);
  } catch {
    return undefined;
  }
}

function overlap(
  a: ReturnType<typeof parseCidr> | undefined,
  b: ReturnType<typeof parseCidr> | undefined,
): boolean {
  return a !== undefined && b !== undefined && cidrsOverlap(a, b);
}
