/** `lanius ip reserve`: an address belongs to a name from now on. */
import {
  RESERVATION_PATHS,
  type ReservationInfo,
  type ReserveRequest,
} from '../../plugin/wire/admin-reservations.ts';
import { type Command, stringOption } from '../command.ts';

export const ipReserve: Command = {
  words: ['ip', 'reserve'],
  summary: 'Reserve an address for a name',
  description:
    'The address is given to nobody but a container of that name, or one that is started with --ip ADDRESS where the\n' +
    'engine does not tell names (before 29). In a sticky pool or network the name alone is enough. A container that\n' +
    'has the address keeps it, and the reservation stands when it ends.',
  positionals: ['ADDRESS', 'NAME'],
  options: {
    pool: { type: 'string', value: 'POOL', description: 'Subnet or name of the pool, if several hold it' },
  },
  run: async (input, { client, output }) => {
    const [address = '', name = ''] = input.positionals;
    const pool = stringOption(input, 'pool');
    const request: ReserveRequest = { address, name, ...(pool === undefined ? {} : { pool }) };
    const info = await client.post<ReservationInfo>(RESERVATION_PATHS.reserve, request);
    output.value(info, () => {
      const is = `${info.address} of pool ${info.pool} is reserved for "${name}"`;
      const now = info.usedBy === undefined ? '' : `; for now ${info.usedBy}`;
      return `${is}${info.changed ? '' : ' already'}${now}`;
    });
    return 0;
  },
};
