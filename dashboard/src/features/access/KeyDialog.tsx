import { Modal } from "@mantine/core";
import { useSession } from "../../api/session";
import { KeyForm } from "./KeyForm";

/** Asks for another key when the service refuses this one. The page behind it keeps its state. */
export function KeyDialog() {
  const { refusal, leave } = useSession();
  return (
    <Modal
      opened={refusal !== null}
      onClose={leave}
      closeOnClickOutside={false}
      title="The service refused this key"
      closeButtonProps={{ "aria-label": "Close and forget the key" }}
    >
      {refusal !== null && <KeyForm refusal={refusal} />}
    </Modal>
  );
}
