/** The admin socket's route for what this host has left: addresses as etcd counts them, bandwidth as admission counts it. */
import type { Express } from 'express';
import {
  type AddressFigures,
  type BandwidthFigures,
  FIGURES_PATH,
  type HostFiguresReply,
} from '../plugin/wire/admin-mesos.ts';
import { answer } from './admin-route.ts';

export interface FiguresSources {
  /** @throws StoreUnavailable */
  readonly addresses: () => Promise<readonly AddressFigures[]>;
  /** One for each link with a declared capacity. */
  readonly bandwidthFigures?: () => readonly BandwidthFigures[];
}

export function addFiguresRoutes(app: Express, { addresses, bandwidthFigures }: FiguresSources): void {
  app.get(
    FIGURES_PATH,
    answer(async (): Promise<HostFiguresReply> => {
      const bandwidth = bandwidthFigures?.() ?? [];
      return { addresses: await addresses(), ...(bandwidth.length === 0 ? {} : { bandwidth }) };
    }),
  );
}
