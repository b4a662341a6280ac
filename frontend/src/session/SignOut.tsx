import { Button } from "@mantine/core";
import { type ReactNode, useEffect, useState } from "react";
import { isSignedIn, signOut, useSession } from "./session";

/** The way out, for who signed in. */
export function SignOut(): ReactNode {
  const session = useSession();
  const [isIn, setIn] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again when signing in changed the answer
  useEffect(() => {
    let isCurrent = true;
    void isSignedIn().then((answer) => isCurrent && setIn(answer));
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
