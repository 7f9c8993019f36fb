/** The admin socket's route for what this host has left: addresses as etcd counts them, bandwidth as admission counts it. */
import type { Express } from 'express';
import type { Direction } from '../core/limit.ts';
import {
  type AddressFigures,
  type BandwidthFigures,
  FIGURES_PATH,
  type HostFiguresReply,
} from '../plugin/wire/admin-mesos.ts';
import type { ParentFigures } from '../throttle/admission.ts';
import { answer } from './admin-route.ts';

export interface FiguresSources {
  /** @throws StoreUnavailable */
  readonly addresses: () => Promise<readonly AddressFigures[]>;
  /** One for each link with a known capacity. */
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

/**
 * Parents whose capacity is known in a direction, for schedulers.
 * @param declared as the settings say, in bits a second
 */
export function bandwidthOf(
  figures: readonly ParentFigures[],
  declared: (parent: string) => Readonly<Partial<Record<Direction, number>>>,
  overcommit: number,
): BandwidthFigures[] {
  return figures.flatMap(({ parent, in: inward, out }) => {
    if (inward.capacity === undefined && out.capacity === undefined) return [];
    const said = declared(parent);
    const rate = (name: string, bitsPerSecond: number | undefined) =>
      bitsPerSecond === undefined ? {} : { [name]: bitsPerSecond * overcommit };
    return [
      {
        parent,
        ...rate('capacityInBitsPerSecond', inward.capacity),
        ...rate('capacityOutBitsPerSecond', out.capacity),
        ...rate('declaredInBitsPerSecond', said.in),
        ...rate('declaredOutBitsPerSecond', said.out),
        committedInBitsPerSecond: inward.committed,
        committedOutBitsPerSecond: out.committed,
      },
    ];
  });
}
