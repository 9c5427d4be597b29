import type { LogSink } from '../train/logs/logSink.ts'
import { serveLoopback } from '../util/loopbackServer.ts'
import { EventStream } from './eventStream.ts'
import { type DashboardControls, DashboardPages } from './pages.ts'
import { RunState } from './runState.ts'

export interface DashboardOptions {
  /** Default 0: any free one. */
  readonly port?: number
  /** Names the training on the page. Default: `noisewright`. */
  readonly title?: string
  /** What the buttons do. Default: no buttons. */
  readonly controls?: DashboardControls
}

export interface Dashboard {
  /** `http://127.0.0.1:<port>/`. */
  readonly url: string
  /** Takes up the events of the training that the page shows. */
  readonly sink: LogSink
  /** Ends the server; pages that are open stay as they are. */
  close(): Promise<void>
}

/** Everything comes from the server itself. */
const contentSecurityPolicy = "img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'"

/**
 * Serves a page that shows a training while it runs, to the browsers of this machine; every user of the machine may open it.
 *
 *   const dashboard = await startDashboard({ controls: { preview: () => controls.requestPreview() } })
 *   for await (const event of logEvents(trainNetwork(config), [dashboard.sink])) ...
 *   await dashboard.close()
 *
 * The history is kept in bounded memory: in long trainings several steps share a point of the curves.
 *
 * @throws IoError when the port is taken
 */
export async function startDashboard(options: DashboardOptions = {}): Promise<Dashboard> {
  const { port = 0, title = 'noisewright', controls = {} } = options
  const state = new RunState()
  const stream = new EventStream()
  const pages = await DashboardPages.open({ title, controls, state, stream })
  const server = await serveLoopback((request, response) => pages.answer(request, response), {
    port,
    contentSecurityPolicy,
  })
  return {
    url: server.url,
    sink: {
      name: 'dashboard',
      event: (event) => stream.send(state.add(event)),
      close: () => stream.send(state.close()),
    },
    close: async () => {
      stream.close()
      await server.close()
    },
  }
}
