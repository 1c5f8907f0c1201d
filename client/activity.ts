// Whether the user looks at the app: a port, so that each platform says it in its own way.
import { Activity } from '../gen/carillon/v1/edge_pb.ts';

export interface ActivitySource {
  /** Now. */
  current(): Activity;
  /** Calls `listener` after each change. The answer ends it. */
  listen(listener: () => void): () => void;
}

/** What React Native calls AppState, as much of it as is needed. */
export interface AppStateLike {
  readonly currentState: string | null;
  addEventListener(type: 'change', listener: (state: string) => void): { remove(): void };
}

/** React Native: `appStateActivity(AppState)`. */
export const appStateActivity = (appState: AppStateLike): ActivitySource => ({
  current: () => (appState.currentState === 'active' ? Activity.FOREGROUND : Activity.BACKGROUND),
  listen(listener) {
    const subscription = appState.addEventListener('change', () => listener());
    return () => subscription.remove();
  },
});

/** Browsers: whether the page can be seen. Without a document nothing is said. */
export const pageActivity = (): ActivitySource => {
  if (typeof document === 'undefined') return silentActivity;
  return {
    current: () => (document.visibilityState === 'visible' ? Activity.FOREGROUND : Activity.BACKGROUND),
    listen(listener) {
      document.addEventListener('visibilitychange', listener);
      return () => document.removeEventListener('visibilitychange', listener);
    },
  };
};

const silentActivity: ActivitySource = {
  current: () => Activity.UNSPECIFIED,
  listen: () => () => {},
};
