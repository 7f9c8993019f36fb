/**
 * The admin socket's HTTP API: what the `lanius` command asks and orders. Shapes are in plugin/wire/admin.ts.
 *
 * Must not: decide anything; be put on anything but a unix socket that only root can open, since there is no
 * login.
 */
import express, { type ErrorRequestHandler, type Express } from 'express';
import { Conflict, type ErrorCode, InvalidRequest, NotFound, toDriverError } from '../core/errors.ts';
import { cidrHas, parseCidr, parseIp } from '../core/ip.ts';
import type { Logger } from '../core/log.ts';
import type { Forgetting, Inventory, KnownHere, Reconciling, Reserving } from '../ipam/inventory.ts';
import type { ShrikeImport } from '../ipam/migrate/shrike-import.ts';
import type { PoolAdministration } from '../ipam/pool/pool-admin.ts';
import {
  ADMIN_PATHS,
  type DoctorReport,
  type ErrorReply,
  type LeakReport,
  leasesQuery,
  type NetworkInfo,
  reconcileRequest,
  releaseRequest,
  type VersionInfo,
} from '../plugin/wire/admin.ts';
import { addFiguresRoutes, type FiguresSources } from './admin-figures.ts';
import { addHostRoutes } from './admin-hosts.ts';
import { addImportRoutes } from './admin-import.ts';
import { addLimitRoutes, type LimitRoutesDependencies } from './admin-limits.ts';
import { addPoolRoutes } from './admin-pools.ts';
import { addReservationRoutes } from './admin-reservations.ts';
import { answer, answerList, answerOrKnown, shaped } from './admin-route.ts';
import { addStoreRoutes, type StoreRoutesDependencies } from './admin-store.ts';

export interface AdminDependencies {
  readonly version: VersionInfo;
  readonly inventory: Inventory;
  /** Answers while etcd does not. */
  readonly known?: KnownHere;
  readonly poolAdmin?: PoolAdministration;
  readonly reservations?: Reserving;
  readonly forgetting?: Forgetting;
  readonly store?: Omit<StoreRoutesDependencies, 'logger'>;
  readonly figures?: FiguresSources;
  readonly shrike?: Pick<ShrikeImport, 'run'>;
  readonly limits?: LimitRoutesDependencies;
  readonly reconciler: Reconciling;
  readonly networks: () => Promise<readonly NetworkInfo[]> | readonly NetworkInfo[];
  readonly doctor: () => Promise<DoctorReport>;
  readonly leaks?: () => Promise<LeakReport>;
  readonly logger: Logger;
}

const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid: 400,
  unsupported: 400,
  not_found: 404,
  conflict: 409,
  exhausted: 409,
  bandwidth_exhausted: 409,
  kernel: 500,
  store: 503,
  deadline: 504,
  engine: 503,
  internal: 500,
};

/** @returns an express application, to be put on the admin socket by daemon/listen.ts */
export function createAdminApp(deps: AdminDependencies): Express {
  const logger = deps.logger.child({ component: 'admin' });
  const { inventory, known, reconciler } = deps;
  const app = express();
  app.disable('x-powered-by').disable('etag').set('query parser', 'simple');
  if (deps.store !== undefined) addStoreRoutes(app, { ...deps.store, logger });
  if (deps.shrike !== undefined) addImportRoutes(app, deps.shrike, logger);
  app.use(express.json({ type: () => true, strict: true }));

  app.get(
    ADMIN_PATHS.version,
    answer(() => deps.version),
  );
  app.get(
    ADMIN_PATHS.pools,
    answerOrKnown(() => inventory.pools(), known && (() => known.pools())),
  );
  app.get(
    ADMIN_PATHS.leases,
    answerList(
      ({ query }) => inventory.leases(shaped(leasesQuery, query)),
      known && (({ query }) => known.leases(shaped(leasesQuery, query))),
    ),
  );
  app.get(
    ADMIN_PATHS.hosts,
    answer(() => inventory.hosts()),
  );
  app.get(
    ADMIN_PATHS.networks,
    answer(() => deps.networks()),
  );
  app.get(
    ADMIN_PATHS.doctor,
    answer(() => deps.doctor()),
  );
  const { leaks } = deps;
  if (leaks !== undefined) app.get(ADMIN_PATHS.leaks, answer(leaks));
  app.get(
    ADMIN_PATHS.reconcile,
    answer(() => reconciler.last ?? null),
  );

  app.post(
    ADMIN_PATHS.release,
    answer(async ({ body }) => {
      const request = shaped(releaseRequest, body);
      const pool = request.pool ?? (await onlyPoolOf(request.address, inventory));
      const lease = await inventory.release(pool, request.address, { force: request.force });
      logger.warn('an address was freed by hand', { pool, address: lease.address, force: request.force });
      return lease;
    }),
  );
  app.post(
    ADMIN_PATHS.reconcile,
    answer(({ body }) => reconciler.run('operator', shaped(reconcileRequest, body))),
  );

  if (deps.poolAdmin !== undefined) addPoolRoutes(app, deps.poolAdmin, logger);
  if (deps.reservations !== undefined) addReservationRoutes(app, deps.reservations, logger);
  if (deps.figures !== undefined) addFiguresRoutes(app, deps.figures);
  if (deps.limits !== undefined) addLimitRoutes(app, deps.limits, logger);
  if (deps.forgetting !== undefined) addHostRoutes(app, deps.forgetting, logger);

  app.use(() => {
    throw new NotFound('no such path: is the lanius command newer than the daemon?');
  });
  app.use(failure(logger));
  return app;
}

/** @throws NotFound or Conflict if not exactly one pool's subnet holds the address */
async function onlyPoolOf(address: string, inventory: Inventory): Promise<string> {
  const ip = parseIp(address);
  const pools = (await inventory.pools()).filter(({ pool }) => cidrHas(parseCidr(pool), ip));
  const [first, ...others] = pools;
  if (first === undefined) throw new NotFound(`no pool holds ${address}: see lanius pool ls`);
  if (others.length > 0) {
    const names = pools.map(({ pool }) => pool).join(', ');
    throw new Conflict(`several pools hold ${address} (${names}): name one with --pool`);
  }
  return first.pool;
}

function failure(logger: Logger): ErrorRequestHandler {
  return (thrown, request, response, next) => {
    if (response.headersSent) {
      next(thrown);
      return;
    }
    const error = isBodyError(thrown) ? bodyError(thrown) : toDriverError(thrown);
    const level = error.code === 'internal' ? 'error' : 'info';
    logger[level]('an admin request failed', { method: `${request.method} ${request.path}`, err: error });
    const reply: ErrorReply = { error: { code: error.code, message: error.message } };
    response.status(STATUS[error.code]).json(reply);
  };
}

function bodyError({ type }: { readonly type: unknown }): InvalidRequest {
  return new InvalidRequest(
    type === 'entity.too.large'
      ? 'the request is longer than 100 kB: say less at once'
      : 'the body is not JSON',
  );
}

/** What express.json throws: an error with a 4xx status of its own. */
function isBodyError(thrown: unknown): thrown is Error & { readonly type: unknown } {
  return thrown instanceof Error && 'status' in thrown && 'type' in thrown;
}
