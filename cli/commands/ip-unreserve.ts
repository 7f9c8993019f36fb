/** `lanius ip unreserve`: an address belongs to no name any more. */
import {
  RESERVATION_PATHS,
  type ReservationInfo,
  type UnreserveRequest,
} from '../../plugin/wire/admin-reservations.ts';
import { type Command, stringOption } from '../command.ts';

export const ipUnreserve: Command = {
  words: ['ip', 'unreserve'],
  summary: 'End the reservation of an address',
  description:
    'Also for an address that is kept for the name of a container (sticky). A container that has the address keeps\n' +
    'it until it ends; then it is free.',
  positionals: ['ADDRESS'],
  options: {
    pool: { type: 'string', value: 'POOL', description: 'Subnet or name of the pool, if several hold it' },
  },
  run: async (input, { client, output }) => {
    const [address = ''] = input.positionals;
    const pool = stringOption(input, 'pool');
    const request: UnreserveRequest = { address, ...(pool === undefined ? {} : { pool }) };
    const info = await client.post<ReservationInfo>(RESERVATION_PATHS.unreserve, request);
    output.value(info, () => {
      const what = `${info.address} of pool ${info.pool}`;
      const now = info.usedBy === undefined ? '' : `; for now ${info.usedBy}`;
      if (!info.changed) return `${what} is not reserved${now}`;
      return `${what} is reserved${info.name === undefined ? '' : ` for "${info.name}"`} no more${now}`;
    });
    return 0;
  },
};
