/**
 * Routes of the admin socket about the store as a whole: check, export, import. Their answers are streams of JSON
 * lines (plugin/wire/admin-store.ts), written no faster than the other side reads.
 *
 * Must be put on the app before anything that reads bodies: an import is a long one.
 */
import type { Express } from 'express';
import type { Logger } from '../core/log.ts';
import type { CheckResult, StoreChecker } from '../ipam/upkeep/store-checker.ts';
import type { StoreEdit } from '../ipam/upkeep/store-finding.ts';
import type { StoreImport } from '../ipam/upkeep/store-import.ts';
import type { RepairResult, StoreRepair } from '../ipam/upkeep/store-repair.ts';
import { StoreSpool } from '../ipam/upkeep/store-spool.ts';
import { type CheckReport, type FindingInfo, STORE_PATHS } from '../plugin/wire/admin-store.ts';
import { answerLines, type LinesWork } from './admin-lines.ts';

export interface StoreRoutesDependencies {
  readonly checker: Pick<StoreChecker, 'check'>;
  readonly repair: Pick<StoreRepair, 'repair'>;
  /** Texts of whole lines. */
  readonly exported: () => AsyncIterable<string>;
  /** A new one for each import. */
  readonly importing: () => Pick<StoreImport, 'run'>;
  /** Folder with room for an import. */
  readonly spoolDir: string;
  readonly logger: Logger;
}

export function addStoreRoutes(app: Express, deps: StoreRoutesDependencies): void {
  const logger = deps.logger.child({ component: 'admin' });
  const route = (work: LinesWork) => answerLines(work, logger);
  app.get(
    STORE_PATHS.check,
    route(async (lines) => {
      const result = await deps.checker.check(lines.progress);
      await lines.send({ report: reportOf(result) });
    }),
  );
  app.post(
    STORE_PATHS.check,
    route(async (lines) => {
      const result = await deps.repair.repair(lines.progress);
      await lines.send({ report: reportOf(result) });
    }),
  );
  app.get(
    STORE_PATHS.export,
    route(async (lines) => {
      for await (const text of deps.exported()) await lines.write(text);
    }),
  );
  app.post(
    STORE_PATHS.import,
    route(async (lines, request) => {
      // What is refused before it has all come is answered while the other side still sends.
      const body = request.iterator({ destroyOnReturn: false });
      const spool = await StoreSpool.take(body, deps.spoolDir).catch((error: unknown) => {
        lines.open();
        throw error;
      });
      try {
        const result = await deps.importing().run(spool, lines.progress);
        const { conflicts: _, ...counts } = result;
        logger.warn('the store was imported into', counts);
        await lines.send({ result });
      } finally {
        await spool.close();
      }
    }),
  );
}

function reportOf(result: CheckResult | RepairResult): CheckReport {
  const { revision, counts, more } = result;
  const outcomes = 'outcomes' in result ? result.outcomes : [];
  const findings = result.findings.map(({ code, object, problem, repair, advice }, index): FindingInfo => {
    const outcome = outcomes[index];
    return {
      code,
      object,
      problem,
      ...(repair === undefined ? {} : { diff: repair.edits.flatMap(diffOf) }),
      ...(advice === undefined ? {} : { advice }),
      ...(outcome === undefined ? {} : { outcome }),
    };
  });
  return { revision, counts, findings, more };
}

/** A value that is only written again, for its revision's sake, is one line. */
function diffOf({ key, before, after }: StoreEdit): string[] {
  if (before === after) return [`= ${key} ${oneLineOf(after ?? '')}`];
  return [
    ...(before === undefined ? [] : [`- ${key} ${oneLineOf(before)}`]),
    ...(after === undefined ? [] : [`+ ${key} ${oneLineOf(after)}`]),
  ];
}

/** A damaged value may be anything. */
function oneLineOf(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 1000);
}
