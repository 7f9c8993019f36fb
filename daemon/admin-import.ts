/**
 * The admin socket's route for what other programs left behind. Its requests are longer than all others, so it is put on the
 * app before anything that reads bodies.
 */
import express, { type Express } from 'express';
import type { Logger } from '../core/log.ts';
import type { ShrikeImport } from '../ipam/migrate/shrike-import.ts';
import { IMPORT_PATHS, LARGEST_TREE_BYTES, shrikeRequest } from '../plugin/wire/admin-import.ts';
import { answerLines } from './admin-lines.ts';
import { shaped } from './admin-route.ts';

export function addImportRoutes(app: Express, shrike: Pick<ShrikeImport, 'run'>, logger: Logger): void {
  app.post(
    IMPORT_PATHS.shrike,
    express.json({ type: () => true, limit: LARGEST_TREE_BYTES }),
    answerLines(async (lines, { body }) => {
      const order = shaped(shrikeRequest, body);
      const { dryRun } = order;
      const counts = await shrike.run(order, (decision) => lines.send({ decision }));
      if (!dryRun) logger.warn("Shrike's addresses were imported", { ...counts });
      await lines.send({ result: { dryRun, counts } });
    }, logger),
  );
}
