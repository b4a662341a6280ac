import { Button } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { readSession, signOut, useSession } from "./session";

/** The way out, for who signed in. */
export function SignOut(): ReactNode {
  const session = useSession();
  const [isIn, setIn] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again when signing in changed the answer
  useEffect(() => {
    let isCurrent = true;
    void readSession().then(({ isSignedIn }) => isCurrent && setIn(isSignedIn));
    return () => {
      isCurrent = false;
    };
  }, [session]);
  if (!isIn || session === "refused") return null;
  return (
    <Button variant="subtle" color="gray" size="compact-sm" onClick={() => void signOut()}>
      Sign out
    </Button>
  );
}
