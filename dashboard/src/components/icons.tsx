/** Line icons of 16 pixels, drawn here so that no icon package is needed. */

import type { ReactNode } from "react";

function Icon({ children }: { children: ReactNode }) {
  return (
    <svg
      width="16"
      height="16"
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.5"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden
    >
      {children}
    </svg>
  );
}

export const IconPause = () => (
  <Icon>
    <path d="M5.5 3.5v9M10.5 3.5v9" />
  </Icon>
);

export const IconPlay = () => (
  <Icon>
    <path d="M5 3.2v9.6l7.5-4.8z" />
  </Icon>
);

export const IconSun = () => (
  <Icon>
    <circle cx="8" cy="8" r="2.8" />
    <path d="M8 1.5v1.2M8 13.3v1.2M1.5 8h1.2M13.3 8h1.2M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9" />
  </Icon>
);

export const IconMoon = () => (
  <Icon>
    <path d="M13.2 9.6A5.6 5.6 0 0 1 6.4 2.8a5.6 5.6 0 1 0 6.8 6.8z" />
  </Icon>
);

export const IconHelp = () => (
  <Icon>
    <path d="M5.8 5.9a2.2 2.2 0 1 1 3.2 2c-.7.4-1 .8-1 1.6M8 12.4v.1" />
  </Icon>
);

export const IconKey = () => (
  <Icon>
    <circle cx="5.2" cy="10.8" r="2.7" />
    <path d="M7.2 8.8l6-6M11.2 4.8l1.8 1.8" />
  </Icon>
);

export const IconTable = () => (
  <Icon>
    <path d="M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6.5 6.5v6" />
  </Icon>
);

export const IconChart = () => (
  <Icon>
    <path d="M2.5 2.5v11h11M5 10l2.5-3.5 2 2L13 4" />
  </Icon>
);

export const IconSend = () => (
  <Icon>
    <path d="M8 13V3M3.8 7.2L8 3l4.2 4.2" />
  </Icon>
);

export const IconStop = () => (
  <Icon>
    <rect x="4" y="4" width="8" height="8" rx="1" fill="currentColor" />
  </Icon>
);

export const IconCopy = () => (
  <Icon>
    <path d="M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3" />
  </Icon>
);

export const IconCheck = () => (
  <Icon>
    <path d="M3 8.5l3.2 3.2L13 4.8" />
  </Icon>
);

export const IconRedo = () => (
  <Icon>
    <path d="M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3" />
  </Icon>
);

export const IconTrash = () => (
  <Icon>
    <path d="M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9" />
  </Icon>
);

export const IconTune = () => (
  <Icon>
    <path d="M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6" />
    <circle cx="10.2" cy="5" r="1.7" />
    <circle cx="5.8" cy="11" r="1.7" />
  </Icon>
);

export const IconGauge = () => (
  <Icon>
    <path d="M2.3 11.5a6 6 0 1 1 11.4 0M8 9.2l2.6-3.4" />
    <circle cx="8" cy="9.8" r="1" />
  </Icon>
);

export const IconList = () => (
  <Icon>
    <path d="M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.1M2.5 8h.1M2.5 12h.1" />
  </Icon>
);

export const IconChip = () => (
  <Icon>
    <path d="M4.5 4.5h7v7h-7zM6.5 4.5v-2M9.5 4.5v-2M6.5 13.5v-2M9.5 13.5v-2M4.5 6.5h-2M4.5 9.5h-2M13.5 6.5h-2M13.5 9.5h-2" />
  </Icon>
);

export const IconBell = () => (
  <Icon>
    <path d="M3.2 11.5c1-1 1.3-2.2 1.3-4.5a3.5 3.5 0 0 1 7 0c0 2.3.3 3.5 1.3 4.5zM6.7 13.6h2.6" />
  </Icon>
);

export const IconChat = () => (
  <Icon>
    <path d="M2.5 3.5h11v7.5H7.5l-3 2.5V11h-2z" />
  </Icon>
);

export const IconSearch = () => (
  <Icon>
    <circle cx="7" cy="7" r="4.2" />
    <path d="M10.2 10.2l3.3 3.3" />
  </Icon>
);

export const IconClose = () => (
  <Icon>
    <path d="M4 4l8 8M12 4l-8 8" />
  </Icon>
);

export const IconPlus = () => (
  <Icon>
    <path d="M8 3v10M3 8h10" />
  </Icon>
);

export const IconEdit = () => (
  <Icon>
    <path d="M10.5 3l2.5 2.5L6 12.5l-3.2.7.7-3.2z" />
  </Icon>
);

export const IconDownload = () => (
  <Icon>
    <path d="M8 2.5v7.5M4.8 7L8 10.2 11.2 7M2.5 13.3h11" />
  </Icon>
);

export const IconCode = () => (
  <Icon>
    <path d="M5 4.5L1.8 8 5 11.5M11 4.5L14.2 8 11 11.5M9.3 3l-2.6 10" />
  </Icon>
);

export const IconSidebar = () => (
  <Icon>
    <path d="M2.5 3h11v10h-11zM6.5 3v10" />
  </Icon>
);

export const IconTool = () => (
  <Icon>
    <path d="M10.1 2.3a3.4 3.4 0 0 0-3 4.8L2.4 11.8a1.3 1.3 0 0 0 1.8 1.8l4.7-4.7a3.4 3.4 0 0 0 4.6-4.2l-2 2-1.9-.5-.5-1.9 2-2z" />
  </Icon>
);

export const IconChevron = () => (
  <Icon>
    <path d="M6 3.5L10.5 8 6 12.5" />
  </Icon>
);

export const IconBack = () => (
  <Icon>
    <path d="M10 3.5L5.5 8 10 12.5" />
  </Icon>
);

export const IconAttach = () => (
  <Icon>
    <path d="M13.2 7.3l-5.5 5.5a3.3 3.3 0 0 1-4.6-4.6l5.7-5.7a2.2 2.2 0 0 1 3.1 3.1L6.3 11.2a1.1 1.1 0 0 1-1.5-1.5l5-5" />
  </Icon>
);

export const IconImage = () => (
  <Icon>
    <path d="M2.5 3h11v10h-11zM3 11.5l3.2-3.7 2.6 2.8 1.8-1.8 2.6 2.7" />
    <circle cx="10.6" cy="5.9" r="0.9" />
  </Icon>
);

export const IconUpload = () => (
  <Icon>
    <path d="M8 10.2V2.7M4.8 5.7L8 2.5l3.2 3.2M2.5 13.3h11" />
  </Icon>
);
