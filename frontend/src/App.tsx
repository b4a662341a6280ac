import { Button, MantineProvider } from "@mantine/core";
import { lazy, type ReactNode, Suspense, useMemo } from "react";
import { Provider } from "urql";
import { useAddress } from "./address/navigation";
import { makeClient } from "./api/client";
import { ExecutionsPage } from "./flows/ExecutionsPage";
import { FlowList } from "./flows/FlowList";
import { FlowPage } from "./flows/FlowPage";
import { Header } from "./parts/Header";
import { Notice } from "./parts/Notice";
import { SkeletonRows } from "./parts/SkeletonRows";
import { SignIn } from "./session/SignIn";
import { useSession } from "./session/session";
import { cssVariables, theme } from "./theme";
import { UsageTab } from "./usage/UsageTab";

const StatisticsTab = lazy(() => import("./statistics/StatisticsTab"));

/** The nonce that the service's Content-Security-Policy allows styles by. */
const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";

export function App(): ReactNode {
  return (
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      cssVariablesResolver={cssVariables}
      getStyleNonce={() => nonce}
    >
      <Header />
      <Content />
    </MantineProvider>
  );
}

function Content(): ReactNode {
  const session = useSession();
  // What was read or refused under one session is not remembered in the next.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the session is the reason for a new client
  const client = useMemo(makeClient, [session]);
  if (session === "refused") return <SignIn to={null} />;
  return (
    <Provider value={client}>
      <Page />
    </Provider>
  );
}

function Page(): ReactNode {
  const address = useAddress();
  switch (address.page) {
    case "flows":
      return <FlowList text={address.text} after={address.after} />;
    case "usage":
      return (
        <FlowPage {...address}>
          <UsageTab key={`${address.server}/${address.toolName}`} scope={address} place={address.place} />
        </FlowPage>
      );
    case "statistics":
      return (
        <FlowPage {...address}>
          <Suspense fallback={<SkeletonRows count={6} />}>
            <StatisticsTab {...address} />
          </Suspense>
        </FlowPage>
      );
    case "executions":
      return <ExecutionsPage scope="all" place={address.place} />;
    case "deleted":
      return <ExecutionsPage scope="deleted" place={address.place} />;
    case "signIn":
      return <SignIn to={address.to} />;
    case "unknown":
      return (
        <Notice title="There is no such page" titleOrder={1}>
          <p>The address may be mistyped, or from another release.</p>
          <Button component="a" href="/">
            All flows
          </Button>
        </Notice>
      );
  }
}
