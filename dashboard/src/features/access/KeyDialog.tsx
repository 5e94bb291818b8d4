import { Modal } from "@mantine/core";
import { useSession } from "../../api/session";
import { KeyForm } from "./KeyForm";

/** Asks for another key when the service refuses this one; the page behind keeps its place. */
export function KeyDialog() {
  const { refusal, leave } = useSession();
  return (
    <Modal
      opened={refusal !== null}
      onClose={leave}
      closeOnClickOutside={false}
      title="The service refused this key"
      closeButtonProps={{ "aria-label": "Leave" }}
    >
      {refusal !== null && <KeyForm refusal={refusal} />}
    </Modal>
  );
}
