// Three durable steps on Restate, as its SDK has them: what fnctl's workflow of three steps is measured beside.
import * as restate from '@restatedev/restate-sdk';

async function three(context, input) {
  const first = await context.run('first', () => (input?.order ?? 0) + 1);
  const second = await context.run('second', () => first + 1);
  return context.run('third', () => second + 1);
}

restate.serve({ services: [restate.service({ name: 'steps', handlers: { three } })], port: Number(process.env.PORT) });
