/**
 * Named points between two outside effects at which a test can stop the process, to prove that a crash there
 * leaves nothing that the next start cannot repair.
 *
 * Off in production at no cost: without LANIUS_FAILPOINT the function is a constant no-op.
 * LANIUS_FAILPOINT=`name=kill[,name=kill…]`; `name@3=kill` acts at the third passage.
 */
import { writeSync } from 'node:fs';

/** What docs/failpoints.md says of a point. */
export interface FailpointNote {
  /** The command that passes it. */
  readonly passedBy: string;
  /** Effects before it, and those that a crash there prevents. */
  readonly done: string;
  readonly notDone: string;
  /** What comes of the command, and who repairs the rest. */
  readonly outcome: string;
}

/** Every failpoint there is; the walk of test/e2e/failpoints.test.ts needs a scenario for each. */
export const FAILPOINTS = {
  'lease.before-commit': {
    passedBy: 'docker run',
    done: 'an address was guessed',
    notDone: 'the lease in etcd',
    outcome: 'The run fails; nothing was made.',
  },
  'lease.after-commit': {
    passedBy: 'docker run',
    done: 'the lease, *pending*',
    notDone: 'the engine has not heard the address',
    outcome:
      'The run fails. Reconciliation frees the lease: no endpoint has it, and another process asked for it.',
  },
  'session.before-bump': {
    passedBy: 'docker run, while etcd is away',
    done: 'the lease was sent; whether etcd has it is not known',
    notDone: 'the fence that keeps it from being executed later',
    outcome:
      'The run fails. The next start takes the session, which fences the lease off; if it stands already, reconciliation frees it.',
  },
  'session.after-bump': {
    passedBy: 'docker run, while etcd is away',
    done: 'the lease was sent, and fenced off',
    notDone: 'whether it stands is not known, and it is not undone',
    outcome: 'The run fails. If the lease stands, reconciliation frees it.',
  },
  'warm.before-bind': {
    passedBy: 'docker run, with `ipam.warmStock`',
    done: 'the engine was given an address of the stock, from memory',
    notDone: 'in etcd its lease is still *warm*',
    outcome:
      'The run goes on if the daemon is back soon; else it fails, and the engine sends ReleaseAddress. Reconciliation keeps a warm lease of an earlier process for its time of grace, then frees it; if a container has it, it is bound.',
  },
  'quarantine.before-commit': {
    passedBy: 'docker run, with `-o probe=arp`, where a stranger uses the address',
    done: 'the lease, *pending*; somebody has answered on the wire',
    notDone: 'the address is not set aside',
    outcome:
      'The run fails. Reconciliation frees the lease; the next container that gets the address asks again.',
  },
  'quarantine.after-commit': {
    passedBy: 'docker run, with `-o probe=arp`, where a stranger uses the address',
    done: 'the address is set aside in etcd, for an hour',
    notDone: 'no other address was chosen',
    outcome: 'The run fails; nothing else was made.',
  },
  'mac.before-commit': {
    passedBy: 'docker run --mac-address',
    done: 'the lease; CreateEndpoint found it held',
    notDone: 'the other hosts do not know the MAC',
    outcome: 'The run fails; the engine sends ReleaseAddress, which frees the lease.',
  },
  'mac.after-commit': {
    passedBy: 'docker run --mac-address',
    done: 'the lease says its MAC, and so does `macs/`',
    notDone: "the endpoint's record",
    outcome:
      'The run fails; the engine sends ReleaseAddress, which ends the lease and what stands in `macs/`.',
  },
  'endpoint.before-record': {
    passedBy: 'docker run',
    done: 'the lease; CreateEndpoint found it held',
    notDone: "the endpoint's record",
    outcome: 'The run fails; the engine sends ReleaseAddress, which frees the lease.',
  },
  'endpoint.after-record': {
    passedBy: 'docker run',
    done: 'lease and record',
    notDone: 'the engine has not heard the MAC',
    outcome:
      'The run fails; ReleaseAddress frees the lease. No DeleteEndpoint follows: reconciliation deletes the record.',
  },
  'join.before-link': {
    passedBy: 'docker run',
    done: 'lease and record',
    notDone: 'the link',
    outcome: 'The run fails; DeleteEndpoint and ReleaseAddress take back the rest.',
  },
  'join.after-link': {
    passedBy: 'docker run',
    done: "the link, in the host's namespace",
    notDone: "perhaps the sandbox key on disk; the engine has not heard the link's name",
    outcome:
      "The run fails; DeleteEndpoint deletes the link, which bears the endpoint's mark. Otherwise reconciliation does.",
  },
  'limits.before-apply': {
    passedBy: 'docker run, with `net_out`',
    done: 'the link is in the sandbox; what the container asks is counted',
    notDone: 'the limit in the kernel, the note of it on the lease',
    outcome:
      'From engine 28 on the run fails, and the engine takes all of it back. Older engines start the container; the next start finds the limit missing, puts it in force and counts it again.',
  },
  'limits.after-apply': {
    passedBy: 'docker run, with `net_out`',
    done: 'the limit is in force in the kernel',
    notDone: 'the note of it on the lease; the engine has not heard that the sandbox is ready',
    outcome:
      'From engine 28 on the run fails, and the limit goes with the sandbox. On older engines the container runs; the next start finds the limit in force and writes nothing to the kernel.',
  },
  'host-access.after-routes': {
    passedBy: 'docker run, with `host_access`',
    done: "the link, and the host's routes to the container",
    notDone: "the engine has not heard the link's name",
    outcome:
      'The run fails; DeleteEndpoint deletes the link, and the routes go with the record of the endpoint. Otherwise reconciliation removes them.',
  },
  'leave.after-undo': {
    passedBy: 'docker rm',
    done: "the holder's watch has ended, in memory",
    notDone: 'nothing outside',
    outcome: 'The removal succeeds; DeleteEndpoint and ReleaseAddress follow.',
  },
  'endpoint.before-link-delete': {
    passedBy: 'docker rm',
    done: 'the record is deleted',
    notDone: 'the link is still there',
    outcome:
      'The removal succeeds; ReleaseAddress frees the lease, reconciliation deletes the link by its mark.',
  },
  'host-access.before-removal': {
    passedBy: 'docker rm, with `host_access`',
    done: 'the record is deleted',
    notDone: "the link and the host's routes to the container are still there",
    outcome: 'The removal succeeds; the next start removes the routes, reconciliation the link by its mark.',
  },
  'release.before-commit': {
    passedBy: 'docker rm',
    done: 'link and record are deleted',
    notDone: 'the lease still stands',
    outcome: 'The removal succeeds; the engine never asks again. Reconciliation frees the lease.',
  },
  'release.after-grant': {
    passedBy: 'docker rm',
    done: 'a TTL in etcd, on which the address is to rest or to be kept for its name',
    notDone: 'the lease still stands, and nothing hangs on the TTL',
    outcome:
      'The removal succeeds; the engine never asks again. Reconciliation frees the lease; the TTL ends by itself.',
  },
  'release.after-commit': {
    passedBy: 'docker rm',
    done: 'the lease is freed',
    notDone: 'the engine has not heard it',
    outcome: 'The removal succeeds; the repeated release finds nothing to do.',
  },
  'release.after-record': {
    passedBy: 'docker rm, while etcd is away',
    done: 'the release is on disk',
    notDone: 'the lease still stands; the engine has not heard of success',
    outcome: 'The removal succeeds; the next start frees the lease as soon as etcd answers.',
  },
  'reconcile.after-endpoint': {
    passedBy: 'lanius reconcile',
    done: 'the record of an endpoint that is gone is deleted',
    notDone: 'its lease still stands',
    outcome: 'The next start frees the lease: no endpoint has it.',
  },
  'reconcile.before-adopt': {
    passedBy: 'lanius reconcile',
    done: 'two looks saw a living endpoint whose lease etcd has lost',
    notDone: 'the lease',
    outcome: 'The next start takes the lease again, with the same address.',
  },
  'forget.between-batches': {
    passedBy: 'lanius host forget',
    done: 'some of the leases of a dead host are freed',
    notDone: 'the others, and its registration',
    outcome: 'The command fails. It frees the rest when it is given again, on any host.',
  },
  'pool.before-record': {
    passedBy: 'docker network create',
    done: "the pool and the host's use of it in etcd",
    notDone: 'the claim on disk',
    outcome:
      'The creation fails and can be repeated at once. Reconciliation ends a use for which there is no claim.',
  },
  'pool.after-record': {
    passedBy: 'docker network create',
    done: "the host's use of the pool in etcd, the claim on disk",
    notDone: 'the engine has not heard the PoolID',
    outcome:
      'The creation fails and can be repeated at once. Reconciliation deletes the claim after its time of grace.',
  },
  'gateway.before-note': {
    passedBy: 'docker network create',
    done: 'the gateway is reserved in etcd',
    notDone: 'the pool does not name it as its gateway',
    outcome:
      'The creation fails and can be repeated at once. Reconciliation ends a reservation that no claim holds.',
  },
  'gateway.before-record': {
    passedBy: 'docker network create',
    done: 'the gateway is reserved in etcd, and the pool names it',
    notDone: 'that the claim holds it, on disk',
    outcome:
      'The creation fails and can be repeated at once. Reconciliation ends a reservation that no claim holds.',
  },
  'network.after-uplink': {
    passedBy: 'docker network create',
    done: 'what the network stands on is made (VLAN sub-interface, bridge), marked as ours',
    notDone: 'the claim is not tied to the network, and there is no record of it',
    outcome:
      'The creation fails and can be repeated at once. The next start removes what no network needs as soon as the engine answers.',
  },
  'bridge.after-add': {
    passedBy: 'docker network create, with `mode=bridge`',
    done: 'the bridge, without its uplink',
    notDone: 'its uplink, addresses that are to move to it, the network',
    outcome:
      'The creation fails and can be repeated at once. The next start removes a bridge that no network needs.',
  },
  'adopt.after-record': {
    passedBy: 'docker network create, with `adopt_address`',
    done: 'the bridge; the addresses and routes of the parent are noted on disk',
    notDone: 'none of them has moved',
    outcome: 'The creation fails and can be repeated at once. The next start removes bridge and note.',
  },
  'adopt.after-move': {
    passedBy: 'docker network create, with `adopt_address`',
    done: 'the parent is a port of the bridge; the bridge has the addresses, and the routes go through it',
    notDone: 'the parent has the addresses too',
    outcome:
      'The creation fails and can be repeated at once. The next start gives routes and addresses back to the parent, and removes the bridge.',
  },
  'adopt.after-delete': {
    passedBy: 'docker network create, with `adopt_address`',
    done: 'the addresses and routes are on the bridge, and only there',
    notDone: 'the note on disk does not say that all is done; the network',
    outcome:
      'The creation fails and can be repeated at once. The next start gives routes and addresses back to the parent, and removes the bridge.',
  },
  'network.before-record': {
    passedBy: 'docker network create',
    done: 'the claim is tied to the network',
    notDone: "the network's record",
    outcome:
      'The creation fails and can be repeated at once; the engine releases gateway and pool, or reconciliation does.',
  },
  'network.after-record': {
    passedBy: 'docker network create',
    done: "the claim is tied to the network, the network's record is on disk",
    notDone: 'the engine has not heard of success',
    outcome:
      'The creation fails and can be repeated at once; the engine releases gateway and pool. Reconciliation deletes the record.',
  },
  'network.before-uplink-removal': {
    passedBy: 'docker network rm',
    done: "the network's record is deleted",
    notDone: 'what it stood on is still there, though no network needs it',
    outcome: 'The removal succeeds; the next start removes what no network needs.',
  },
  'restore.before-move': {
    passedBy: 'docker network rm, with `adopt_address`',
    done: "the network's record is deleted",
    notDone: 'the bridge still has the addresses and routes of the parent',
    outcome: 'The removal succeeds; the next start gives them back and removes the bridge.',
  },
  'restore.after-move': {
    passedBy: 'docker network rm, with `adopt_address`',
    done: 'the parent is free of the bridge, has its addresses again, and the routes go through it',
    notDone: 'the bridge has the addresses too',
    outcome: 'The removal succeeds; the next start removes the bridge with them.',
  },
  'restore.after-delete': {
    passedBy: 'docker network rm, with `adopt_address`',
    done: 'all is on the parent again, and only there',
    notDone: 'the bridge still stands, and the note on disk',
    outcome: 'The removal succeeds; the next start removes both.',
  },
  'bridge.after-delete': {
    passedBy: 'docker network rm, with `mode=bridge`',
    done: 'the bridge is removed',
    notDone: 'with `adopt_address`: the note on disk',
    outcome: 'The removal succeeds; the next start removes the note.',
  },
  'gateway.before-unreserve': {
    passedBy: 'docker network rm',
    done: 'the claim holds the gateway no longer, on disk',
    notDone: 'its reservation in etcd still stands',
    outcome: 'The removal succeeds; reconciliation ends a reservation that no claim holds.',
  },
  'pool.before-leave': {
    passedBy: 'docker network rm',
    done: "the claim's record is deleted",
    notDone: "etcd still has the host's use of the pool, and the pool",
    outcome: 'The removal succeeds; reconciliation ends the use, and the pool with its last user.',
  },
  'pool.before-remove': {
    passedBy: 'docker network rm',
    done: 'etcd has no use of the pool any more',
    notDone: 'the pool is still there, and what is kept in it',
    outcome: 'The removal succeeds; the next reconciliation, of any host, removes a pool that nobody uses.',
  },
} as const satisfies Readonly<Record<string, FailpointNote>>;
export type Failpoint = keyof typeof FAILPOINTS;

/** In the order in which a container's life passes them. */
export const FAILPOINT_NAMES = Object.keys(FAILPOINTS) as readonly Failpoint[];

const armed = parse(process.env['LANIUS_FAILPOINT'] ?? '');

/** Passes `name`; ends the process with SIGKILL if the failpoint is armed. */
export const failpoint: (name: Failpoint) => void = armed.size === 0 ? () => {} : pass;

function pass(name: Failpoint): void {
  const left = armed.get(name);
  if (left === undefined) return;
  if (left > 1) {
    armed.set(name, left - 1);
    return;
  }
  writeSync(2, `failpoint ${name}: killed\n`);
  process.kill(process.pid, 'SIGKILL');
}

function parse(text: string): Map<string, number> {
  const points = new Map<string, number>();
  for (const part of text.split(',').filter((p) => p !== '')) {
    const match = /^([a-z.-]+)(?:@(\d+))?=kill$/.exec(part);
    if (match?.[1] === undefined || !Object.hasOwn(FAILPOINTS, match[1])) {
      throw new Error(
        `LANIUS_FAILPOINT: "${part}" is not one of ${FAILPOINT_NAMES.map((f) => `${f}=kill`).join(', ')}`,
      );
    }
    points.set(match[1], Number(match[2] ?? 1));
  }
  return points;
}
