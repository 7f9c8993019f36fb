/** What an engine that is broken, starting or restored may say of its networks and containers. */
import type { Ask, Behaviour } from './faulty-engine.ts';

const LISTS = ['/networks', '/containers/json'];

/** Every request is answered with HTTP 500. */
export const errors: Behaviour = (ask) => ask.say({ message: 'the engine is not well' }, 500);
/** Requests are taken and never answered. */
export const silence: Behaviour = () => {};
/** Half of the answer, then the connection ends. */
export const torn: Behaviour = async (ask) => {
  const text = JSON.stringify(await ask.truth().catch(() => null));
  ask.response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length });
  ask.response.write(text.slice(0, text.length / 2), () => ask.response.destroy());
};

/** Each list is that value; nothing else exists. */
export function listsAre(value: unknown): Behaviour {
  return about((ask) => (LISTS.includes(ask.path) ? ask.say(value) : ask.say({ message: 'not found' }, 404)));
}
/** The networks that every engine has, no other one, and no container. */
export const onlyPredefined: Behaviour = about(async (ask) => {
  if (ask.path === '/containers/json') ask.say([]);
  else if (ask.path === '/networks') ask.say(((await ask.truth()) as Listed[]).filter(isPredefined));
  else ask.say({ message: 'not found' }, 404);
});
/** All networks, but nobody in them, and no container. */
export const nobody: Behaviour = about(async (ask) => {
  if (ask.path === '/containers/json') ask.say([]);
  else if (ask.path === '/networks') ask.pass();
  else ask.say({ ...((await ask.truth()) as object), Containers: {} });
});
/** All containers, none of them in a network; and networks that are gone when one asks for them. */
export const disconnected: Behaviour = about(async (ask) => {
  if (ask.path === '/networks') ask.pass();
  else if (ask.path === '/containers/json')
    ask.say(((await ask.truth()) as object[]).map((one) => ({ ...one, NetworkSettings: { Networks: {} } })));
  else ask.say({ message: 'not found' }, 404);
});

/** One behaviour after the other, each for so many requests. */
export function inTurn(requests: number, ...behaviours: readonly Behaviour[]): Behaviour {
  let asked = 0;
  return (ask) => {
    const turn = Math.floor(asked / requests) % behaviours.length;
    asked += 1;
    behaviours[turn]?.(ask);
  };
}

interface Listed {
  readonly Driver: string;
}

function isPredefined({ Driver }: Listed): boolean {
  return ['bridge', 'host', 'null'].includes(Driver);
}

/** It lies about networks and containers only: it answers pings, and its events come. */
function about(behaviour: Behaviour): Behaviour {
  return (ask: Ask) => (/^\/(networks|containers)/.test(ask.path) ? behaviour(ask) : ask.pass());
}
